"""One API process serves many event streams."""

import asyncio
import resource
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.repository import JobRepository
from tests.support.job_samples import new_job
from tests.support.waiting import eventually
from tests.support.web_process import WebProcess, running
from tests.support.web_service import Player, build_services

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

LISTENERS = 1000
MEMORY_PER_LISTENER = 100_000  # bytes


class JobNotifications:
    """A raw connection that follows a job: a thousand HTTP clients would be slower than the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, api: WebProcess, job: object) -> "JobNotifications":
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        headers = f"Host: localhost\r\nX-API-KEY: {api.key}\r\n"
        writer.write(f"GET /v1/separations/{job}/events HTTP/1.1\r\n{headers}\r\n".encode())
        return cls(reader, writer)

    async def hear(self, what: bytes) -> bytes:
        return await self.reader.readuntil(what)


async def listen(api: WebProcess, job: object, count: int, cleanup: ExitStack) -> list[JobNotifications]:
    """Connect, some at a time, and wait until each was told the job's state."""
    listeners: list[JobNotifications] = []
    while len(listeners) < count:
        some = [await JobNotifications.connect(api, job) for _ in range(min(20, count - len(listeners)))]
        for listener in some:
            cleanup.callback(listener.writer.close)
        await asyncio.gather(*(listener.hear(b'"queued"') for listener in some))
        listeners += some
    return listeners


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the system allows; most shells begin with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest_asyncio.fixture
async def cleanup() -> AsyncIterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_subscribers_are_notified_at_once_and_cost_little(
    database_url: str, tmp_path: Path, cleanup: ExitStack
) -> None:
    async with Database(database_url, timeout=60) as database, running(database_url, tmp_path) as api:
        job = (await JobRepository(database).create(new_job())).job
        first = await listen(api, job.id, 10, cleanup)
        before = api.memory()
        listeners = await listen(api, job.id, LISTENERS - len(first), cleanup)
        cost = (api.memory() - before) / len(listeners)
        started = time.monotonic()
        await Player(build_services(database, tmp_path)).separate()
        await asyncio.gather(*(one.hear(b'"succeeded"') for one in [*first, *listeners]))
        told = time.monotonic() - started
        await asyncio.gather(*(one.hear(b"0\r\n\r\n") for one in [*first, *listeners]))
        print(f"{LISTENERS} listeners: {cost:.0f} bytes each; all told within {told:.2f} s")  # noqa: T201
        assert cost < MEMORY_PER_LISTENER


async def test_disconnected_subscribers_are_forgotten(database_url: str, tmp_path: Path) -> None:
    async with Database(database_url, timeout=60) as database, running(database_url, tmp_path) as api:
        job = (await JobRepository(database).create(new_job())).job
        with ExitStack() as cleanup:
            await listen(api, job.id, 100, cleanup)
        files = Path(f"/proc/{api.process.pid}/fd")
        await eventually(lambda: len(list(files.iterdir())) <= 60)


async def test_a_stopping_server_ends_its_streams(
    database_url: str, tmp_path: Path, cleanup: ExitStack
) -> None:
    async with Database(database_url, timeout=60) as database, running(database_url, tmp_path) as api:
        job = (await JobRepository(database).create(new_job())).job
        listeners = await listen(api, job.id, 3, cleanup)
        api.process.send_signal(signal.SIGTERM)
        for listener in listeners:
            assert (await listener.hear(b"\r\n0\r\n\r\n")).endswith(b"\n\r\n0\r\n\r\n")  # ended, not cut
        await api.process.wait()
