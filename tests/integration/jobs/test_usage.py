"""What tenants use is counted by the database, and bounded even for submissions at the same moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Bound, Share
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.claims import Claim, Claims, Failure
from spleeter_microservice.jobs.job import JobOptions, NewJob
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.storage.store import open_storage
from tests.support.job_samples import RESULT, claimed, expire, new_job

pytestmark = pytest.mark.asyncio

HOOK = JobOptions(callback_url="https://example.com/hook")
SIZE: dict[str, Any] = {"audio_seconds": 9.5, "expected_bytes": 10_000}
UNIT = {  # what a job of SIZE uses
    Share.QUEUED_JOBS: 1,
    Share.QUEUED_SECONDS: 10,
    Share.STORED_BYTES: 10_000,
    Share.PENDING_WEBHOOKS: 1,
}


async def usage(repository: JobRepository, database: Database) -> tuple[int, ...]:
    """Return what the tenant ``ann`` uses, without the bytes of options, which must be counted, too."""
    used = await repository.usage("ann")
    async with database.transaction() as transaction:
        cursor = await transaction.connection.execute(
            "SELECT coalesce(sum(octet_length(options::text)), 0)::bigint AS bytes FROM spleeter_jobs"
            " WHERE tenant = 'ann'"
        )
        row = await cursor.fetchone()
    assert row
    return tuple(used[share] - (row["bytes"] if share is Share.STORED_BYTES else 0) for share in UNIT)


@pytest.mark.parametrize("share", UNIT)
async def test_bounds_hold_for_submissions_at_the_same_moment(database_url: str, share: Share) -> None:
    """They come from two processes: from a tenant that may have three, and from tenants that share eight."""
    bound = Bound(share, 3 * UNIT[share], 8 * UNIT[share])
    taken: Counter[str] = Counter()
    assert share.error
    refusal = share.error
    async with Database(database_url, timeout=60) as one, Database(database_url, timeout=60) as two:
        both = JobRepository(one), JobRepository(two)

        async def submit(number: int, tenant: str) -> None:
            new = new_job(tenant, options=HOOK, **SIZE)
            with contextlib.suppress(refusal):
                await both[number % 2].create(new, bounds=[bound])
                taken[tenant] += 1

        await asyncio.gather(*(submit(number, "ann") for number in range(8)))
        assert taken == {"ann": 3}
        others = [f"tenant {number % 4}" for number in range(16)]
        await asyncio.gather(*(submit(*one) for one in enumerate(others)))
        assert taken.total() == 8
        assert await usage(both[0], one) == (3, 30, 30_000, 3)


async def test_a_job_without_a_webhook_needs_no_room_for_one(repository: JobRepository) -> None:
    none = Bound(Share.PENDING_WEBHOOKS, 0, 0)
    await repository.create(new_job(), bounds=[none])
    with pytest.raises(errors.WebhooksPendingError):
        await repository.create(new_job(options=HOOK), bounds=[none])


async def publish(claims: Claims, claim: Claim) -> None:
    assert await claims.publish(claim, RESULT)


async def fail(claims: Claims, claim: Claim) -> None:
    assert await claims.fail(claim, Failure("too-long", "It is."))


async def requeue(claims: Claims, claim: Claim) -> None:
    assert await claims.requeue(claim)


@pytest.mark.parametrize(
    ("end", "left"), [(publish, (0, 0, 0, 1)), (fail, (0, 0, 0, 1)), (requeue, (1, 10, 10_000, 1))]
)
async def test_what_a_job_uses_is_counted_until_it_is_erased(
    repository: JobRepository,
    database: Database,
    tmp_path: Any,
    end: Callable[[Claims, Claim], Awaitable[None]],
    left: tuple[int, ...],
) -> None:
    objects, claims = JobObjects(database, open_storage(str(tmp_path))), Claims(database)
    new = new_job(options=HOOK, **SIZE)
    await objects.note("ann", new.prefix, {new.input_key: 7})
    await repository.create(new)
    assert await usage(repository, database) == (1, 10, 10_007, 1)
    claim = await claimed(claims, await claims.register("worker", 1))
    assert await usage(repository, database) == (0, 0, 10_007, 1)
    for size in (30, 40):  # an attempt is repeated
        await objects.note("ann", new.prefix, {f"{new.prefix}/stems/vocals.wav": size})
    await end(claims, claim)
    jobs, seconds, stored, hooks = left
    assert await usage(repository, database) == (jobs, seconds, stored + 47, hooks)
    await delete(repository, new, database)
    await Retention(database, objects.erase).sweep()
    assert await usage(repository, database) == (0, 0, 0, 0)
    async with database.transaction() as transaction:
        cursor = await transaction.connection.execute("SELECT * FROM spleeter_usage")
        assert await cursor.fetchall() == []


async def delete(repository: JobRepository, new: NewJob, database: Database) -> None:
    """Delete a job, as if its worker had released it and its webhook were delivered."""
    await repository.delete("ann", new.id)
    async with database.transaction() as transaction:
        await transaction.connection.execute("UPDATE spleeter_jobs SET entry_id = NULL")
        await transaction.connection.execute("UPDATE spleeter_webhooks SET state = 'delivered'")


async def test_a_shared_result_is_stored_once_until_the_last_job_goes(
    repository: JobRepository, database: Database, tmp_path: Any
) -> None:
    objects, claims = JobObjects(database, open_storage(str(tmp_path))), Claims(database)
    first, again = (new_job(content_hash="same") for _ in range(2))
    await objects.note("ann", first.prefix, {first.input_key: 7})
    await repository.create(first)
    await publish(claims, await claimed(claims, await claims.register("worker", 1)))
    await repository.create(again)
    for job, left in ((first, 7), (again, 0)):
        await expire(database, await repository.get("ann", job.id))
        await Retention(database, objects.erase).sweep()
        assert (await usage(repository, database))[2] == left
