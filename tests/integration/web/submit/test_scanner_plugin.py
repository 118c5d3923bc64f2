"""A scanner of the operator's own stands beside ClamAV, with the same deadline and rules."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from spleeter_microservice.antivirus.scan import ScannerPlugin
from spleeter_microservice.bootstrap.api import open_scanner
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import ConfigurationError, ScannerUnavailableError
from spleeter_microservice.settings import Settings
from spleeter_microservice.web.app import create_app
from tests.support.clamd import EICAR
from tests.support.documents import blocks
from tests.support.web_service import build_services, served, song

MODULE = "trial_scanner"


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that the document shows, and an object that is none."""
    (example,) = (block.text for block in blocks("docs/operations.md") if block.language == "python")
    module = SimpleNamespace(number=1)
    exec(example, vars(module))
    monkeypatch.setitem(sys.modules, MODULE, module)


@pytest.mark.asyncio
async def test_the_documented_function_decides_what_is_accepted(database: Database, tmp_path: Path) -> None:
    settings = Settings.from_environment({"SPLEETER_ANTIVIRUS": f"{MODULE}:scan"})
    services = build_services(database, tmp_path, scanner=open_scanner(settings))
    key, _ = await services.keys.create("ann")
    async with served(create_app(services)) as url, httpx.AsyncClient(base_url=url) as client:
        client.headers["X-API-KEY"] = key
        answers = [
            await client.post("/v1/separations", files={"file": ("a.wav", content)})
            for content in (song(), song() + EICAR)
        ]
        health = (await client.get("/health/ready")).json()
    assert [answer.status_code for answer in answers] == [202, 422]
    assert answers[1].json()["type"] == "/problems/infected-file"
    assert health["parts"]["antivirus"]["state"] == "ok"


@pytest.mark.asyncio
async def test_a_function_that_fails_or_hangs_refuses_the_file() -> None:
    async def fails(chunks: AsyncIterator[bytes]) -> str | None:
        raise OSError("no licence")

    async def hangs(chunks: AsyncIterator[bytes]) -> str | None:
        await asyncio.Event().wait()
        return None

    for scanner in (ScannerPlugin(fails), ScannerPlugin(hangs, timeout=0.01)):
        with pytest.raises(ScannerUnavailableError) as caught:
            await scanner.ping()
        assert "licence" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("on", "Set it to off, required or package.module:function."),
        ("absent.module:scan", "It cannot be imported: No module named 'absent'"),
        (f"{MODULE}:absent", "It cannot be imported"),
        (f"{MODULE}:number", "It is not an `async def` function."),
    ],
)
def test_a_name_that_is_no_scanner_is_refused_at_the_start(name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Settings.from_environment({"SPLEETER_ANTIVIRUS": name})
