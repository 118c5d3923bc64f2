"""Real clients send the same song, and it has the same name from each."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import requests

from spleeter_microservice.web.services import Services
from tests.support.web_service import ALL, song

pytestmark = pytest.mark.asyncio

NAME = 'Überall "live"; 100%.wav'
_NODE = Path(__file__).parents[3] / "support" / "send_forms.cjs"
_PACKAGES = "/usr/share/nodejs"  # where Debian installs Node's packages


@pytest_asyncio.fixture
async def key(services: Services) -> AsyncIterator[str]:
    yield (await services.keys.create("ann", ALL))[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(song())
    return path


async def run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, "NODE_PATH": _PACKAGES}
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output


async def test_python_s_clients(address: str, key: str, file: Path) -> None:
    url, headers, fields = f"{address}/v1/separations", {"X-API-KEY": key}, {"mwf": True, "offset": 0.5}

    def send() -> requests.Response:
        with file.open("rb") as opened:
            return requests.post(url, headers=headers, files={"file": opened}, data=fields, timeout=None)

    first = (await asyncio.to_thread(send)).json()
    async with httpx.AsyncClient() as client:
        second = (
            await client.post(url, headers=headers, files={"file": (NAME, song(), "audio/wav")}, data=fields)
        ).json()
    assert (first["input"]["name"], second["input"]["name"]) == (NAME, NAME)
    assert [(sent["options"]["mwf"], sent["options"]["offset"]) for sent in (first, second)] == [
        (True, 0.5)
    ] * 2


async def test_curl(address: str, key: str, file: Path) -> None:
    quoted = str(file).replace('"', '\\"')  # in quotes because of the semicolon
    output = await run(
        "curl", "-sS", f"{address}/v1/separations", "-H", f"X-API-KEY: {key}", "-F", f'file=@"{quoted}"'
    )  # fmt: skip
    assert json.loads(output)["input"]["name"] == NAME


async def test_node_s_clients(address: str, key: str, file: Path) -> None:
    """The package form-data does not escape quotes, so that a semicolon after one cannot be understood."""
    simple = NAME.replace('"', "")
    output = await run("node", str(_NODE), f"{address}/v1/separations", key, str(file), simple)
    assert json.loads(output) == [[202, simple], [202, "blob"], [202, simple], [202, simple]]
