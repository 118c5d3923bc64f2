"""The service works through PgBouncer in transaction mode, with and without a way past it."""

import asyncio
import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.database.migrate import migrate, own_migrations
from spleeter_microservice.jobs.job import State
from spleeter_microservice.jobs.notifications import JobNotifications, Notice
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.web.separations.events import EventStream
from spleeter_microservice.web.separations.notifications import NotificationHub
from spleeter_microservice.worker.worker import Worker
from tests.support.job_samples import QUICK, Songs, at_work, new_job, until
from tests.support.pgbouncer import pooled
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    with pooled(database_url) as url:
        yield url


async def test_the_pooler_breaks_prepared_statements(pooled_url: str) -> None:
    """Otherwise the other tests would prove nothing."""
    with (
        psycopg.connect(pooled_url, prepare_threshold=0, autocommit=True) as one,
        psycopg.connect(pooled_url, prepare_threshold=0, autocommit=True) as other,
    ):
        one.execute("SELECT %s::int", [1])
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            other.execute("SELECT %s::int", [1])


async def test_migrations_run_through_a_pooler_and_leave_no_lock(empty_database_url: str) -> None:
    with pooled(empty_database_url) as url:
        assert migrate(url) == list(own_migrations())
        assert migrate(url) == []
    with psycopg.connect(empty_database_url) as connection:
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        own = f"{locks} (SELECT oid FROM pg_database WHERE datname = current_database())"
        assert connection.execute(own.encode()).fetchone() == (0,)


async def test_jobs_are_run_through_a_pooler(pooled_url: str) -> None:
    """Many statements on more connections than the pooler has, and each often enough to be prepared."""
    async with Database(pooled_url, timeout=60) as database:
        repository = JobRepository(database)
        async with at_work(Worker(database, Songs(), Songs().erase, QUICK)):
            jobs = [(await repository.create(new_job())).job for _ in range(12)]
            await asyncio.gather(*(until(repository, job.id, State.SUCCEEDED) for job in jobs))


@pytest.mark.parametrize("direct", [False, True], ids=["polled", "direct"])
async def test_events_are_heard_with_a_direct_url_and_polled_without(
    pooled_url: str, database_url: str, direct: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database(pooled_url, database_url if direct else None, timeout=60) as database:
        repository, heard = JobRepository(database), list[Notice | None]()
        listening = asyncio.create_task(JobNotifications(database.direct_url, heard.append, poll=0.05).run())
        await eventually(lambda: heard)
        job = (await repository.create(new_job())).job
        await eventually(lambda: [notice for notice in heard if notice] if direct else len(heard) > 3)
        assert all(notice is None or notice.job == job.id for notice in heard)
        assert direct != bool([notice for notice in heard if notice is None][1:])
        assert direct != ("SPLEETER_DATABASE_DIRECT_URL" in caplog.text)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def test_a_stream_behind_a_pooler_ends_with_its_job_and_is_kept_alive(pooled_url: str) -> None:
    async with Database(pooled_url, timeout=60) as database:
        repository = JobRepository(database)
        job = (await repository.create(new_job())).job
        async with NotificationHub(pooled_url, poll=0.05).running() as hub:
            stream = aiter(EventStream(repository, hub, "ann", job.id, heartbeat=0.2))
            assert b"queued" in await anext(stream)
            assert await anext(stream) == b": ping\n\n"
            async with at_work(Worker(database, Songs(), Songs().erase, QUICK)):
                assert b"succeeded" in [piece async for piece in stream][-1]
