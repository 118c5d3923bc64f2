"""Deleted and expired jobs are erased completely, and no others."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import AuditUnwritableError, StorageUnavailableError, UnknownJobError
from spleeter_microservice.jobs.claims import Claims
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.retention import Retention
from tests.support.job_samples import claimed, expire, new_job, succeed

pytestmark = pytest.mark.asyncio


class Store:
    """Notes what is to be erased."""

    def __init__(self) -> None:
        self.erased: list[str] = []
        self.away = False

    async def erase(self, prefix: str) -> None:
        """Note it, unless the store is away."""
        if self.away:
            raise StorageUnavailableError("the store is away")
        self.erased.append(prefix)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def retention(database: Database, store: Store) -> Retention:
    return Retention(database, store.erase)


async def rows(database: Database) -> int:
    async with database.transaction() as transaction:
        (row,) = await (
            await transaction.connection.execute(
                "SELECT (SELECT count(*) FROM spleeter_jobs) + (SELECT count(*) FROM spleeter_events) AS n"
            )
        ).fetchall()
        return int(row["n"])


async def test_an_expired_job_leaves_nothing_behind(
    database: Database, store: Store, retention: Retention
) -> None:
    job = await succeed(database, new_job())
    await expire(database, job)
    assert await retention.sweep() == 1
    assert store.erased == [job.prefix]
    assert await rows(database) == 0


async def test_a_sweep_erases_every_job_however_many_have_expired(
    database: Database, store: Store, retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spleeter_microservice.jobs.retention._BATCH", 2)
    for _ in range(5):
        await expire(database, await succeed(database, new_job()))
    store.away = True
    assert await retention.sweep() == 0
    store.away = False
    assert await retention.sweep() == 5
    assert await rows(database) == 0


async def test_an_expired_job_is_recorded_once_before_it_is_erased(database: Database, store: Store) -> None:
    job = await succeed(database, new_job())
    await expire(database, job)
    recorded: list[UUID] = []
    writable = False

    async def record(expired: Job) -> None:
        if not writable:
            raise AuditUnwritableError("The disk is full.")
        recorded.append(expired.id)

    retention = Retention(database, store.erase, record)
    assert await retention.sweep() == 0
    assert await rows(database) > 0
    writable = True
    await asyncio.gather(*(retention.sweep() for _ in range(4)))
    assert recorded == [job.id]
    assert await rows(database) == 0


async def test_queued_running_and_unexpired_jobs_are_kept(
    database: Database, store: Store, retention: Retention
) -> None:
    await succeed(database, new_job())
    for _ in range(2):
        await JobRepository(database).create(new_job(retention=timedelta()))
    await Claims(database).claim(await Claims(database).register("test", 1))
    assert await retention.sweep() == 0
    assert store.erased == []


async def test_a_deleted_job_is_erased_once_its_worker_releases_it(
    database: Database, store: Store, retention: Retention
) -> None:
    repository, claims = JobRepository(database), Claims(database)
    job = (await repository.create(new_job())).job
    claim = await claimed(claims, await claims.register("test", 1))
    await repository.delete("ann", job.id)
    assert not await retention.erase(job.id, timeout=0.1)
    assert store.erased == []
    await claims.release(claim)
    assert await retention.erase(job.id)
    assert store.erased == [job.prefix]
    assert await rows(database) == 0
    assert await retention.erase(job.id)  # and once more is no harm


async def test_the_row_stays_until_the_object_store_is_available_again(
    database: Database, store: Store, retention: Retention
) -> None:
    job = await succeed(database, new_job())
    repository = JobRepository(database)
    await repository.delete("ann", job.id)
    store.away = True
    assert not await retention.erase(job.id)
    assert await retention.sweep() == 0
    erasing = await repository.get("ann", job.id, erasing=True)
    assert (erasing.state, erasing.result) == (State.ERASING, None)
    store.away = False
    assert await retention.sweep() == 1
    assert store.erased == [job.prefix]
    with pytest.raises(UnknownJobError):
        await repository.get("ann", job.id, erasing=True)


async def test_shared_objects_are_erased_with_the_last_of_their_jobs(
    database: Database, store: Store, retention: Retention
) -> None:
    repository = JobRepository(database)
    source = await succeed(database, new_job(content_hash="same"))
    user = (await repository.create(new_job(content_hash="same"))).job
    await repository.delete("ann", source.id)
    assert await retention.erase(source.id)
    assert store.erased == []
    assert (await repository.get("ann", user.id)).result == source.result
    await repository.delete("ann", user.id)
    assert await retention.erase(user.id)
    assert store.erased == [source.prefix]
    assert await rows(database) == 0
