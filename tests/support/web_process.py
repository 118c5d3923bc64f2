"""The API in its own process, on a free port: ``URL FOLDER [KEY]``.

Prints one line of JSON: its URL, and a key: the one given, or a new one of the tenant ``ann``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from spleeter_microservice.access.keys import ApiKeys, parse_configured
from spleeter_microservice.database.connection import Database
from spleeter_microservice.web.app import create_app
from tests.support.memory_access import MemoryKeyStore
from tests.support.web_service import ALL, build_services

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class WebProcess:
    """A running API.

    Attributes:
        url: of it.
        key: opens everything of its tenant.
    """

    process: asyncio.subprocess.Process
    url: str
    key: str

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


@contextlib.asynccontextmanager
async def running(url: str, folder: Path, *key: str) -> AsyncIterator[WebProcess]:
    """Start an API, and kill it at the end if it is still running."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.web_process",
        url,
        str(folder),
        *key,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}"},
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout
        told = json.loads(await process.stdout.readline())
        yield WebProcess(process, told["url"], told["key"])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def main(url: str, folder: Path, key: str = "") -> None:
    """Serve until SIGTERM."""
    async with Database(url, timeout=60) as database:
        keys = ApiKeys(MemoryKeyStore(), parse_configured(key) if key else ())
        services = build_services(database, folder, keys=keys)
        key = key or (await keys.create("ann", ALL))[0]
        config = uvicorn.Config(
            create_app(services), log_config=None, timeout_graceful_shutdown=20, backlog=2048
        )
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
            port = listening.getsockname()[1]
            print(json.dumps({"url": f"http://127.0.0.1:{port}", "key": key}), flush=True)  # noqa: T201
            await uvicorn.Server(config).serve([listening])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
