"""A job is held by one worker at a time, and by none after its worker crashes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
import pytest_asyncio

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import UnknownJobError
from spleeter_microservice.jobs.claims import Claims, Failure
from spleeter_microservice.jobs.job import Job, JobOptions, State
from spleeter_microservice.jobs.repository import JobRepository
from tests.support.job_samples import PREVIEW, RESULT, cancel, claimed, new_job
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio


class Bench:
    """A database with two workers."""

    def __init__(self, database: Database, workers: tuple[int, int]) -> None:
        self.database = database
        self.claims = Claims(database)
        self.repository = JobRepository(database)
        self.first, self.second = workers

    async def waiting(self) -> Job:
        return (await self.repository.create(new_job())).job

    async def look(self, job: Job) -> Job:
        return await self.repository.get(job.tenant, job.id)

    async def entries(self) -> list[str]:
        async with self.database.transaction() as transaction:
            rows = await (
                await transaction.connection.execute("SELECT status FROM procrastinate_jobs")
            ).fetchall()
        return [row["status"] for row in rows]

    async def silence(self, worker: int, seconds: float = 60) -> None:
        async with self.database.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE procrastinate_workers SET last_heartbeat = now() - %s * interval '1 s' WHERE id = %s",
                (seconds, worker),
            )


@pytest_asyncio.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    async with Database(database_url, timeout=60) as database:
        claims = Claims(database)
        yield Bench(database, (await claims.register("first", 1), await claims.register("second", 2)))


async def test_an_empty_queue_has_no_claim(bench: Bench) -> None:
    assert await bench.claims.claim(bench.first) is None


async def test_a_claimed_job_runs_and_its_entry_is_taken(bench: Bench) -> None:
    waiting = await bench.waiting()
    claim = await claimed(bench.claims, bench.first)
    job = await bench.look(waiting)
    assert claim.job == job
    assert (job.state, job.owner, job.attempts, job.fence) == (State.RUNNING, bench.first, 1, 1)
    assert await bench.entries() == ["doing"]


async def test_a_job_is_claimed_once_by_many_concurrent_workers(bench: Bench) -> None:
    for _ in range(3):
        await bench.waiting()
    claims = await asyncio.gather(*(bench.claims.claim(bench.first) for _ in range(8)))
    assert len({claim.job.id for claim in claims if claim}) == 3
    assert claims.count(None) == 5


async def test_a_worker_leaves_jobs_whose_options_it_does_not_know_to_those_that_do(bench: Bench) -> None:
    """Three generations: before jobs stated their needs, before films, and now."""
    options = [
        JobOptions(video={"film": "vocals"}),
        JobOptions(codec="alac"),
        JobOptions(codec="mp3", bitrate="192k", mwf=True, metadata={"a": "b"}),
        JobOptions(),
    ]
    film, alac, *old = [
        (await bench.repository.create(new_job(options=each, audio_seconds=30))).job.id for each in options
    ]
    earlier = Claims(bench.database)
    earlier.known = set(Claims.known) - {"video"}
    async with bench.database.transaction() as transaction:
        first = {"queues": ["separations"], "worker_id": bench.first}
        taken = [(await transaction.one("procrastinate.fetch_job", **first))["args"] for _ in range(3)]
        assert [UUID(args["job_id"]) for args in taken if args] == old
        await transaction.connection.execute(
            "UPDATE procrastinate_jobs SET status = 'todo', args = args - 'needs' WHERE status = 'doing'"
        )
    assert [(await claimed(earlier, bench.first)).job.id for _ in range(3)] == [alac, *old]
    assert await earlier.claim(bench.first) is None
    assert (await claimed(bench.claims, bench.second)).job.id == film
    await bench.silence(bench.second)
    assert [takeover.job.id for takeover in await earlier.take_over(10)] == [film]
    assert await earlier.claim(bench.first) is None
    assert (await claimed(bench.claims, bench.first)).job.id == film


async def test_publishing_stores_the_result_and_removes_the_queue_entry(bench: Bench) -> None:
    waiting = await bench.waiting()
    assert await bench.claims.publish(await claimed(bench.claims, bench.first), RESULT)
    job = await bench.look(waiting)
    assert (job.state, job.progress, job.result, job.owner) == (State.SUCCEEDED, 1, RESULT, None)
    assert job.expires_at
    assert job.finished_at
    assert job.expires_at - job.finished_at == job.retention
    assert await bench.entries() == []


async def test_publishing_again_after_a_lost_response_succeeds_and_changes_nothing(bench: Bench) -> None:
    waiting = await bench.waiting()
    claim = await claimed(bench.claims, bench.first)
    assert await bench.claims.publish(claim, RESULT)
    before = await bench.look(waiting)
    assert await bench.claims.publish(claim, RESULT)
    assert await bench.look(waiting) == before


async def test_a_worker_declared_dead_can_no_longer_change_its_jobs(bench: Bench) -> None:
    waiting = await bench.waiting()
    old = await claimed(bench.claims, bench.first)
    await bench.silence(bench.first)
    (takeover,) = await bench.claims.take_over(10)
    assert (takeover.job.id, takeover.failed) == (waiting.id, False)
    new = await claimed(bench.claims, bench.second)
    before = await bench.look(waiting)
    assert not await bench.claims.publish(old, RESULT)
    assert not await bench.claims.fail(old, Failure("x", "x"))
    assert not await bench.claims.progress(old, 0.9)
    assert not await bench.claims.requeue(old)
    assert not await bench.claims.release(old)
    assert await bench.look(waiting) == before
    assert await bench.entries() == ["doing"]
    assert await bench.claims.publish(new, RESULT)
    assert not await bench.claims.publish(old, RESULT)


async def test_another_attempt_makes_previews_anew(bench: Bench) -> None:
    waiting = await bench.waiting()
    old = await claimed(bench.claims, bench.first)
    assert await bench.claims.progress(old, 0.5, PREVIEW)
    job = await bench.look(waiting)
    assert (job.preview, job.preview_key("vocals", 2)) == (PREVIEW, f"{job.prefix}/previews/1/vocals/2.opus")
    assert await bench.claims.requeue(old)
    assert (await bench.look(waiting)).preview is None
    new = await claimed(bench.claims, bench.second)
    assert not await bench.claims.progress(old, 0.9, PREVIEW)
    assert await bench.claims.publish(new, RESULT, replace(PREVIEW, segments=4))
    job = await bench.look(waiting)
    assert (job.preview, job.fence) == (replace(PREVIEW, segments=4), new.job.fence)


async def test_jobs_of_a_live_worker_are_not_taken_over(bench: Bench) -> None:
    await bench.waiting()
    await claimed(bench.claims, bench.first)
    await bench.silence(bench.first, 9)
    assert await bench.claims.take_over(10) == []


async def test_a_silent_worker_learns_that_it_was_declared_dead(bench: Bench) -> None:
    await bench.silence(bench.first)
    await bench.claims.take_over(10)
    assert await bench.claims.beat(bench.first) is None
    assert await bench.claims.beat(bench.second) == []


async def test_a_job_unknown_to_its_worker_is_requeued_and_a_late_holder_cannot_change_it(
    bench: Bench,
) -> None:
    await bench.waiting()
    claim = await claimed(bench.claims, bench.first)
    (held,) = await bench.claims.beat(bench.first) or []
    assert await bench.claims.requeue_unknown(held)
    assert not await bench.claims.requeue_unknown(held)
    assert not await bench.claims.publish(claim, RESULT)
    again = await claimed(bench.claims, bench.second)
    assert (again.job.id, again.job.crashes) == (claim.job.id, 0)


async def test_a_cancelled_job_unknown_to_its_worker_is_released(bench: Bench) -> None:
    waiting = await bench.waiting()
    await claimed(bench.claims, bench.first)
    await bench.repository.delete("ann", waiting.id)
    (held,) = await bench.claims.beat(bench.first) or []
    assert await bench.claims.requeue_unknown(held)
    assert await bench.entries() == []


async def test_a_heartbeat_returns_the_jobs_still_held(bench: Bench) -> None:
    jobs = [await bench.waiting() for _ in range(3)]
    held = [await claimed(bench.claims, bench.first) for _ in jobs]
    await cancel(bench.database, held[0].job)
    await bench.repository.delete("ann", held[1].job.id)
    known = await bench.claims.beat(bench.first)
    assert known is not None
    assert {one.job: (one.fence, one.running) for one in known} == {
        held[0].job.id: (held[0].job.fence, False),
        held[1].job.id: (held[1].job.fence, False),
        held[2].job.id: (held[2].job.fence, True),
    }


async def test_two_workers_take_over_a_crashed_workers_jobs_once(bench: Bench) -> None:
    jobs = [await bench.waiting() for _ in range(4)]
    for _ in jobs:
        await claimed(bench.claims, bench.first)
    await bench.silence(bench.first)
    taken = await asyncio.gather(*(bench.claims.take_over(10) for _ in range(4)))
    assert sorted(str(one.job.id) for some in taken for one in some) == [str(job.id) for job in jobs]
    assert {(await bench.look(job)).crashes for job in jobs} == {1}


async def test_the_third_crash_fails_the_job_with_the_reason(bench: Bench) -> None:
    waiting = await bench.waiting()
    for crashes in (1, 2, 3):
        worker = await bench.claims.register("short-lived", 1)
        await claimed(bench.claims, worker)
        await bench.silence(worker)
        (takeover,) = await bench.claims.take_over(10)
        assert takeover.failed == (crashes == 3)
    job = await bench.look(waiting)
    assert (job.state, job.error_type, job.crashes) == (State.FAILED, "process-died", 3)
    assert "crashed 3 times" in (job.error_message or "")
    assert await bench.entries() == []


async def test_a_job_is_not_blamed_while_other_processes_crash_too_up_to_a_limit(bench: Bench) -> None:
    jobs = [await bench.waiting() for _ in range(2)]
    claims = Claims(bench.database)
    claims.most_crashes = 5
    for crashes in range(1, 6):
        worker = await claims.register("short-lived", 2)
        for _ in jobs:
            await claimed(claims, worker)
        await bench.silence(worker)
        taken = await claims.take_over(10)
        assert [one.failed for one in taken] == [crashes == 5] * 2
    assert {(await bench.look(job)).crashes for job in jobs} == {5}


async def test_a_requeued_job_keeps_its_place_and_counts_no_crash(bench: Bench) -> None:
    first, second = await bench.waiting(), await bench.waiting()
    claim = await claimed(bench.claims, bench.first)
    assert await bench.claims.requeue(claim)
    assert (await bench.look(first)).crashes == 0
    assert [(await claimed(bench.claims, bench.second)).job.id for _ in range(2)] == [first.id, second.id]


async def test_a_job_requeued_with_a_delay_is_claimed_later(bench: Bench) -> None:
    await bench.waiting()
    await bench.claims.requeue(await claimed(bench.claims, bench.first), crashed=True, delay=0.3)
    assert await bench.claims.claim(bench.first) is None
    claim = await eventually(lambda: bench.claims.claim(bench.first))
    assert claim.job.crashes == 1


async def test_a_cancelled_job_keeps_its_entry_until_its_worker_releases_it(bench: Bench) -> None:
    waiting = await bench.waiting()
    claim = await claimed(bench.claims, bench.first)
    await cancel(bench.database, waiting)
    assert not await bench.claims.publish(claim, RESULT)
    assert await bench.entries() == ["doing"]
    assert await bench.claims.release(claim)
    assert await bench.entries() == []
    assert (await bench.look(waiting)).state is State.CANCELLED


async def test_a_cancelled_job_of_a_crashed_worker_is_released_and_not_requeued(bench: Bench) -> None:
    waiting = await bench.waiting()
    await claimed(bench.claims, bench.first)
    await cancel(bench.database, waiting)
    await bench.silence(bench.first)
    assert await bench.claims.take_over(10) == []
    assert (await bench.entries(), (await bench.look(waiting)).owner) == ([], None)


async def test_jobs_of_an_unregistered_worker_are_taken_over(bench: Bench) -> None:
    await bench.waiting()
    await claimed(bench.claims, bench.first)
    await bench.claims.unregister(bench.first)
    (takeover,) = await bench.claims.take_over(10)
    assert not takeover.failed


async def test_a_queue_entry_without_a_job_is_discarded(bench: Bench) -> None:
    await bench.waiting()
    last = await bench.waiting()
    async with bench.database.transaction() as transaction:
        await transaction.connection.execute("DELETE FROM spleeter_jobs WHERE id <> %s", (last.id,))
    assert (await claimed(bench.claims, bench.first)).job.id == last.id
    assert await bench.entries() == ["doing"]


async def test_concurrent_operations_neither_deadlock_nor_lose_a_job(bench: Bench) -> None:
    jobs = [await bench.waiting() for _ in range(30)]

    async def work(worker: int) -> None:
        while claim := await bench.claims.claim(worker):
            await bench.claims.progress(claim, 0.5)
            await bench.claims.publish(claim, RESULT)

    async def annoy() -> None:
        for job in jobs[::3]:
            with contextlib.suppress(UnknownJobError):  # the other one was faster
                await bench.repository.delete("ann", job.id)
            await bench.claims.take_over(0)

    await asyncio.gather(work(bench.first), work(bench.second), annoy(), annoy())
    await bench.claims.take_over(0)
    await work(await bench.claims.register("third", 1))
    states = [(await bench.look(job)).state for i, job in enumerate(jobs) if i % 3]
    assert set(states) <= {State.SUCCEEDED, State.FAILED}
    assert await bench.entries() == []
