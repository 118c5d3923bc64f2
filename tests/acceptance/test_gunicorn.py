"""The API under Gunicorn, as in a deployment with several machines."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.repository import JobRepository
from tests.support.descriptors import idle_connections, low_for_children, lowered
from tests.support.documents import blocks
from tests.support.job_samples import new_job
from tests.support.raw_http import connected, request
from tests.support.service import KEY, free_port
from tests.support.waiting import eventually, still, wait_until
from tests.support.web_service import Player, build_services

COMMAND = next(block for block in blocks("docs/cli.md", "sh") if block.text.startswith("gunicorn "))
STEM_BYTES = 24 << 20  # more than the system's buffers hold


class Gunicorn:
    """Gunicorn with the API on a free port, and its log."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.spool = folder / "spool"
        self._log = folder.parent / f"{folder.name}-log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")}
        needed = {
            "SPLEETER_ENV": "production",
            "SPLEETER_API_KEY": KEY,
            "SPLEETER_DATA_DIR": str(folder),
            "SPLEETER_PORT": str(self.port),
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        }
        with low_for_children(), self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *shlex.split(COMMAND.text), *options],
                env=environ | needed | settings,
                stdout=output,
                stderr=output,
            )

    async def drains(self, count: int) -> None:
        """Wait until this many processes have stopped but for their last requests."""
        await eventually(lambda: self.log.count("Waiting for connections to close") == count)

    @property
    def log(self) -> str:
        """Everything that it has printed."""
        return self._log.read_text()

    @property
    def workers(self) -> list[int]:
        """The numbers of its processes but the first."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/live", timeout=60).status_code == 200
        return False


@contextmanager
def gunicorn(folder: Path, *options: str, **settings: str) -> Iterator[Gunicorn]:
    """Start Gunicorn, wait until it answers, and kill it at the end if it is still running."""
    server = Gunicorn(folder, *options, **settings)
    try:
        wait_until(server.answers)
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_it_serves_before_the_database_is_available_and_stops_cleanly(tmp_path: Path) -> None:
    """Two processes share their metrics; the exit status is 0; every line of the log is JSON."""
    settings = {
        "SPLEETER_API_PROCESSES": "2",
        "SPLEETER_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing",
        "SPLEETER_HOST": "::",  # serves IPv4 too
    }
    with gunicorn(tmp_path / "new", **settings) as server:
        with lowered(server.workers, 160), idle_connections(server.port, 400):
            wait_until(server.answers)
        metrics = httpx.get(f"{server.url}/metrics", timeout=None).text
        assert 'spleeter_requests_total{method="GET",route="/health/live",status="200"}' in metrics
        assert 'spleeter_connections_closed_total{reason="no-key"}' in metrics
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait() == 0, server.log
        events = [json.loads(line)["event"] for line in server.log.splitlines()]
        assert not any("Control socket" in event for event in events)


def test_its_processes_stop_if_it_is_killed(tmp_path: Path) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    with gunicorn(tmp_path, SPLEETER_DATABASE_URL=nowhere) as server:
        (worker,) = server.workers
        server.process.kill()
        wait_until(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.asyncio
async def test_transfers_finish_while_processes_are_recycled_reloaded_and_stopped(
    tmp_path: Path, database_url: str
) -> None:
    """They may take longer than the time after which Gunicorn kills a process that hangs (4 s here)."""
    async with Database(database_url, timeout=60) as database:
        job = (await JobRepository(database).create(new_job("default"))).job
        await Player(build_services(database, tmp_path)).separate(bytes(STEM_BYTES))
    with gunicorn(tmp_path, "--timeout=4", "--max-requests=5", SPLEETER_DATABASE_URL=database_url) as server:
        async with transferring(server, job.id):
            for _ in range(4):  # one was sent at the start
                server.answers()
            await server.drains(1)
            await still(lambda: "WORKER TIMEOUT" not in server.log, 6)
        for count, number in enumerate((signal.SIGHUP, signal.SIGTERM), start=2):
            async with transferring(server, job.id):
                server.process.send_signal(number)
                await server.drains(count)
        assert await asyncio.to_thread(server.process.wait, 60) == 0, server.log


FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nno audio\r\n--b--\r\n'


@asynccontextmanager
async def transferring(server: Gunicorn, job: object) -> AsyncIterator[None]:
    """Begin an upload and a download, and finish both at the end."""
    async with connected(server.url) as upload, connected(server.url) as download:
        form = {"Content_Type": "multipart/form-data; boundary=b", "Content_Length": len(FORM)}
        await upload.send(request("POST /v1/separations", X_API_KEY=KEY, **form) + FORM[:-20])
        await download.send(request(f"GET /v1/separations/{job}/stems/vocals", X_API_KEY=KEY))
        await eventually(lambda: list(server.spool.iterdir()))
        yield
        await upload.send(FORM[-20:])
        assert (await upload.answer())[0] == 415, server.log
        status, _, body = await download.answer()
        assert (status, len(body)) == (200, STEM_BYTES + len(b"vocals")), server.log
