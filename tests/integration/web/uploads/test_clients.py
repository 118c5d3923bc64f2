"""Real clients send a song through two processes, however often the connection breaks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from tusclient.client import TusClient

from tests.support.cutting_proxy import CuttingProxy
from tests.support.documents import blocks
from tests.support.web_process import WebProcess, running
from tests.support.web_service import song

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = base64.b64encode(hashlib.sha256(b"of these tests").digest()).decode()
SONG = song(180, seed=9)  # 1.4 MB
CUTS = 10
_SCRIPT = Path(__file__).parents[3] / "support" / "tus" / "upload.cjs"
_PACKAGES = Path(sys.prefix) / "tus"


@dataclass(frozen=True)
class Fleet:
    """Two processes that share a database and a store."""

    processes: tuple[WebProcess, WebProcess]
    file: Path

    def proxy(self, kill_at: int = 0) -> CuttingProxy:
        """Return a balancer that cuts connections, and kills the process of one of them."""

        def kill(number: int, url: str) -> None:
            if number == kill_at:
                next(each for each in self.processes if each.url == url).process.kill()

        return CuttingProxy([each.url for each in self.running], CUTS, (20_000, 110_000), kill)

    @property
    def running(self) -> list[WebProcess]:
        """The processes that no test has killed."""
        return [each for each in self.processes if each.process.returncode is None]

    async def separated(self, address: str) -> str:
        """Return the hash of the song that a separation of an upload has."""
        async with httpx.AsyncClient(base_url=self.running[0].url, headers={"X-API-KEY": KEY}) as client:
            answer = await client.post("/v1/separations", json={"upload": address})
            assert answer.status_code == 202, answer.text
            assert answer.json()["input"]["name"] == self.file.name
            return str(answer.json()["input"]["sha256"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    file = folder / "Über uns.wav"
    file.write_bytes(SONG)
    async with (
        running(module_database_url, folder, KEY) as one,
        running(module_database_url, folder, KEY) as two,
    ):
        yield Fleet((one, two), file)


async def test_tuspy_with_checksums(fleet: Fleet) -> None:
    async with fleet.proxy().running() as proxy:
        client = TusClient(f"{proxy.url}/v1/uploads", headers={"X-API-KEY": KEY})

        def send() -> str:
            uploader = client.uploader(
                file_stream=io.BytesIO(SONG),
                chunk_size=90_000,
                retries=30,
                retry_delay=0,
                metadata={"filename": fleet.file.name},
                upload_checksum=True,
            )
            uploader.upload()
            return str(uploader.url)

        address = await asyncio.to_thread(send)
        assert proxy.cuts == 0
    assert await fleet.separated(address) == hashlib.sha256(SONG).hexdigest()


async def run_node(*arguments: str) -> bytes:
    assert (_PACKAGES / "installed").exists(), (
        "tus-js-client is not installed. Install Node.js with npm, then run make test."
    )
    process = await asyncio.create_subprocess_exec(
        "node",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_PATH": str(_PACKAGES / "node_modules")},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output


async def test_the_documented_example(fleet: Fleet) -> None:
    (example,) = blocks("docs/api.md", "js")
    service, name = fleet.running[0].url, "example.wav"
    given = {"service": service, "key": KEY, "path": str(fleet.file)}
    beginning = f"""
        const tus = require("tus-js-client");
        const {{ service, key, path }} = {json.dumps(given)};
        const file = Object.assign(require("node:fs").readFileSync(path), {{ name: "{name}" }});
    """
    code = example.text.replace('import * as tus from "tus-js-client";', beginning)
    code = code.replace("await response.json()", "JSON.stringify(await response.json())")
    separation = json.loads(await run_node("-e", code))
    assert separation["input"] | {"seconds": 0} == {
        "name": name,
        "sha256": hashlib.sha256(SONG).hexdigest(),
        "seconds": 0,
    }


@pytest.mark.parametrize(("parallel", "kill_at"), [(2, 0), (1, 5)])
async def test_tus_js_client(fleet: Fleet, parallel: int, kill_at: int) -> None:
    """The last one loses a process for good."""
    async with fleet.proxy(kill_at).running() as proxy:
        output = await run_node(str(_SCRIPT), f"{proxy.url}/v1/uploads", KEY, str(fleet.file), str(parallel))
        assert proxy.cuts == 0
    assert await fleet.separated(output.decode().strip()) == hashlib.sha256(SONG).hexdigest()
