"""A real clamd hangs, exits and returns while songs are uploaded."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from spleeter_microservice.antivirus.clamd import Clamd
from spleeter_microservice.web.services import Services
from tests.support.clamd import Daemon, running
from tests.support.waiting import eventually
from tests.support.web_service import song

pytestmark = pytest.mark.asyncio


@pytest.fixture
def clamd() -> Iterator[Daemon]:
    with running() as daemon:
        yield daemon


@pytest.fixture
def services(services: Services, clamd: Daemon, tmp_path: Path) -> Services:
    """The services with a scanner whose address is a link, which can lead to another one."""
    link = Path("/tmp") / f"clamd-{os.getpid()}.sock"  # short enough for a socket
    return replace(services, scanner=Clamd.from_url(f"unix://{link}"))


@pytest.fixture
def link(services: Services, clamd: Daemon) -> Iterator[Path]:
    assert isinstance(services.scanner, Clamd)
    path = Path(services.scanner.path)
    lead(path, clamd)
    yield path
    path.unlink()


def lead(link: Path, daemon: Daemon) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(daemon.unix.removeprefix("unix://"))


async def send(client: httpx.AsyncClient, seed: int) -> httpx.Response:
    return await client.post("/v1/separations", files={"file": ("song.wav", song(seed=seed))})


async def test_songs_are_refused_during_a_scanner_outage_and_accepted_after_it(
    ann: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    services: Services,
    clamd: Daemon,
    link: Path,
    tmp_path: Path,
) -> None:
    """Hanging is waited for; death in the middle of a scan, and before one, refuses the song."""
    assert await scanner(stranger, 200) == "ok"
    os.kill(clamd.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(send(ann, 0))
    await asyncio.wait([waiting], timeout=0.3)
    assert not waiting.done()
    os.kill(clamd.pid, signal.SIGKILL)
    for answer in (await waiting, await send(ann, 1)):
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/scanner-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert str(link) not in answer.text
    for folder in (services.config.spool, tmp_path / "objects"):
        assert not [path for path in folder.rglob("*") if path.is_file()]
    assert await scanner(stranger, 503) == "unavailable"
    with running() as another:
        lead(link, another)
        assert await scanner(stranger, 200) == "ok"
        assert (await send(ann, 0)).status_code == 202


async def scanner(client: httpx.AsyncClient, status: int) -> str:
    """Wait for readiness of a status, and return the state of the scanner."""

    async def state() -> str | None:
        answer = await client.get("/health/ready")
        return str(answer.json()["parts"]["antivirus"]["state"]) if answer.status_code == status else None

    return await eventually(state)
