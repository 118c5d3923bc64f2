"""Uploads pass a real virus scanner before anything opens them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from spleeter_microservice.antivirus.clamd import Clamd, Timeouts
from spleeter_microservice.database.connection import Database
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support import clamd
from tests.support.audit import audited
from tests.support.clamd import EICAR, FILE_LIMIT, Daemon
from tests.support.web_service import WavProber, build_services, served, song

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with clamd.running() as running:
        yield running


@pytest.fixture
def prober() -> WavProber:
    return WavProber()


@pytest.fixture
def services(daemon: Daemon, database: Database, tmp_path: Path, prober: WavProber) -> Services:
    scanner = Clamd.from_url(daemon.unix, Timeouts(5, 20, 60))
    return build_services(database, tmp_path, prober=prober, scanner=scanner)


def scans(result: str) -> float:
    return REGISTRY.get_sample_value("spleeter_antivirus_scans_total", {"result": result}) or 0


def files(folder: Path) -> list[Path]:
    return [path for name in ("spool", "objects") for path in (folder / name).rglob("*") if path.is_file()]


async def send(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await client.post("/v1/separations", files={"file": ("song.wav", content)})


async def test_a_clean_song_is_accepted(ann: httpx.AsyncClient) -> None:
    before = scans("clean")
    assert (await send(ann, song())).status_code == 202
    assert scans("clean") == before + 1


async def test_an_infected_file_is_refused_erased_and_recorded_before_it_is_opened(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path, prober: WavProber
) -> None:
    before = scans("infected")
    answer = await send(ann, song() + EICAR)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/infected-file")
    assert clamd.SIGNATURE in answer.json()["detail"]
    assert files(tmp_path) == []
    assert prober.probed == []
    assert scans("infected") == before + 1
    (entry,) = audited(services.database.url)
    assert (entry["action"], entry["tenant"]) == ("upload.infected", "ann")
    assert entry["details"]["virus"].startswith(clamd.SIGNATURE)


async def test_a_file_too_large_to_scan_is_refused(ann: httpx.AsyncClient, tmp_path: Path) -> None:
    answer = await send(ann, bytes(FILE_LIMIT + 1))
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/beyond-scanner")
    assert files(tmp_path) == []


async def test_without_the_scanner_every_song_is_refused(database: Database, tmp_path: Path) -> None:
    absent = Clamd.from_url(f"unix://{tmp_path}/nobody.sock", Timeouts(1, 1, 1))
    services = build_services(database, tmp_path, scanner=absent)
    key, _ = await services.keys.create("ann")
    before = scans("unavailable")
    async with served(create_app(services)) as url, httpx.AsyncClient(base_url=url) as client:
        client.headers["X-API-KEY"] = key
        answer = await send(client, song())
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/scanner-unavailable")
    assert "nobody" not in answer.text
    assert answer.headers["retry-after"] == "5"
    assert scans("unavailable") == before + 1
    assert files(tmp_path) == []
