"""Tenants see their own jobs and no others, in a real PostgreSQL."""

import asyncio
from dataclasses import asdict, replace
from datetime import timedelta

import psycopg
import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    DatabaseUnavailableError,
    IdempotencyConflictError,
    InvalidCursorError,
    UnknownJobError,
)
from spleeter_microservice.jobs import queue
from spleeter_microservice.jobs.claims import Claims, Failure
from spleeter_microservice.jobs.job import JobOptions, NewJob, State, new_job_id
from spleeter_microservice.jobs.listing import Sort
from spleeter_microservice.jobs.repository import JobRepository, Load, Origin
from tests.support.job_samples import PREVIEW, RESULT, claimed, expire, new_job, succeed

pytestmark = pytest.mark.asyncio


async def count(database: Database, table: str) -> int:
    async with database.transaction() as transaction:
        row = await (
            await transaction.connection.execute(f"SELECT count(*) FROM {table}".encode())
        ).fetchone()
        assert row
        return int(row["count"])


async def test_a_new_job_is_queued_with_the_requested_options(
    repository: JobRepository, database: Database
) -> None:
    new = new_job(options=JobOptions(stems=4, only=("bass",), metadata={"ü": "✓"}), request_id="r1")
    created = await repository.create(new)
    job = await repository.get("ann", new.id)
    assert created.origin is Origin.NEW
    assert created.job == job
    assert (job.state, job.progress, job.attempts, job.result) == (State.QUEUED, 0, 0, None)
    assert (job.options, job.request_id, job.retention) == (new.options, "r1", timedelta(hours=1))
    assert await count(database, "procrastinate_jobs") == 1


async def test_a_job_that_cannot_be_enqueued_is_not_created(
    repository: JobRepository, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = queue.put

    async def put_and_fail(*arguments: object) -> int:
        await put(*arguments)  # type: ignore[arg-type]
        raise OSError

    monkeypatch.setattr(queue, "put", put_and_fail)
    with pytest.raises(OSError):  # noqa: PT011 - raised above
        await repository.create(new_job())
    assert (await count(database, "procrastinate_jobs"), await count(database, "spleeter_jobs")) == (0, 0)


async def test_a_job_that_cannot_be_created_is_not_enqueued(
    repository: JobRepository, database: Database
) -> None:
    new = new_job()
    await repository.create(new)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await repository.create(new)
    assert await count(database, "procrastinate_jobs") == 1


async def test_the_same_key_and_body_return_the_same_job(repository: JobRepository) -> None:
    first = await repository.create(new_job(idempotency_key="k", body_hash="b"))
    again = await repository.create(new_job(idempotency_key="k", body_hash="b"))
    assert again.origin is Origin.REPEATED
    assert again.job == first.job


async def test_the_same_key_with_another_body_is_refused(repository: JobRepository) -> None:
    await repository.create(new_job(idempotency_key="k", body_hash="b"))
    with pytest.raises(IdempotencyConflictError, match="new key"):
        await repository.create(new_job(idempotency_key="k", body_hash="c"))


async def test_the_same_key_of_another_tenant_is_another_key(repository: JobRepository) -> None:
    await repository.create(new_job(idempotency_key="k", body_hash="b"))
    other = await repository.create(new_job("bob", idempotency_key="k", body_hash="c"))
    assert other.origin is Origin.NEW


async def test_concurrent_requests_with_the_same_key_create_one_job(
    repository: JobRepository, database: Database
) -> None:
    created = await asyncio.gather(
        *(repository.create(new_job(idempotency_key="k", body_hash="b")) for _ in range(8))
    )
    assert len({one.job.id for one in created}) == 1
    assert [one.origin for one in created].count(Origin.NEW) == 1
    assert await count(database, "procrastinate_jobs") == 1


async def test_identical_audio_and_options_reuse_the_finished_result(
    repository: JobRepository, database: Database
) -> None:
    source = await succeed(database, new_job(content_hash="same"))
    again = new_job(content_hash="same", options=JobOptions(metadata={"mine": "1"}))
    created = await repository.create(again)
    assert created.origin is Origin.REUSED
    assert (created.job.id, created.job.state, created.job.progress) == (again.id, State.SUCCEEDED, 1)
    assert created.job.result == source.result == RESULT
    assert created.job.prefix == source.prefix
    assert created.job.options.metadata == {"mine": "1"}
    assert await count(database, "procrastinate_jobs") == 0
    assert [event.state for event in await repository.events("ann", again.id)] == [State.SUCCEEDED]


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "bob"},
        {"content_hash": "other"},
        {"options": JobOptions(mwf=True)},
        {"result_version": "newer"},
    ],
    ids=str,
)
async def test_no_result_is_reused_for_another_tenant_song_option_or_version(
    repository: JobRepository, database: Database, change: dict[str, object]
) -> None:
    await succeed(database, new_job(content_hash="same"))
    other = new_job(**{"content_hash": "same"} | change)  # type: ignore[arg-type]
    assert (await repository.create(other)).origin is Origin.NEW


async def test_a_deleted_or_expired_result_is_not_reused(
    repository: JobRepository, database: Database
) -> None:
    deleted = await succeed(database, new_job(content_hash="one"))
    await repository.delete("ann", deleted.id)
    await expire(database, await succeed(database, new_job(content_hash="two")))
    for content in ("one", "two"):
        assert (await repository.create(new_job(content_hash=content))).origin is Origin.NEW


async def test_pages_have_every_job_once_newest_first(repository: JobRepository) -> None:
    ids = [(await repository.create(new_job())).job.id for _ in range(5)]
    await repository.create(new_job("bob"))
    first = await repository.page("ann", limit=2)
    second = await repository.page("ann", limit=2, cursor=first.cursor)
    last = await repository.page("ann", limit=2, cursor=second.cursor)
    assert [job.id for page in (first, second, last) for job in page.jobs] == ids[::-1]
    assert last.cursor is None


@pytest.mark.parametrize("sort", Sort)
async def test_a_page_follows_its_cursor_whatever_is_created_and_erased_meanwhile(
    repository: JobRepository, database: Database, sort: Sort
) -> None:
    jobs = [(await repository.create(new_job(input_name="same"))).job.id for _ in range(4)]
    first = await repository.page("ann", sort=sort, limit=2)
    assert first.cursor is not None
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            "DELETE FROM spleeter_jobs WHERE id = ANY(%s)", ([job.id for job in first.jobs],)
        )
    jobs.append((await repository.create(new_job(input_name="same"))).job.id)
    rest = await repository.page("ann", sort=sort, cursor=first.cursor)
    wanted = jobs[2:] if not sort.startswith("-") else jobs[1::-1]
    assert [job.id for job in rest.jobs] == wanted


async def test_pages_can_be_limited_to_one_state(repository: JobRepository, database: Database) -> None:
    done = await succeed(database, new_job())
    await repository.create(new_job())
    assert [job.id for job in (await repository.page("ann", states=[State.SUCCEEDED])).jobs] == [done.id]


async def test_a_made_up_cursor_is_refused(repository: JobRepository) -> None:
    with pytest.raises(InvalidCursorError, match="Leave it out"):
        await repository.page("ann", cursor="42; DROP TABLE")


async def test_another_tenants_job_is_as_unknown_as_one_that_never_existed(repository: JobRepository) -> None:
    job = (await repository.create(new_job("bob"))).job.id
    for unknown in (job, new_job_id()):
        for call in (repository.get, repository.delete):
            with pytest.raises(UnknownJobError, match=str(unknown)):
                await call("ann", unknown)
        assert await repository.events("ann", unknown) == []
        assert await repository.position("ann", unknown) is None
    assert (await repository.get("bob", job)).state is State.QUEUED


async def test_the_position_counts_jobs_ahead_and_their_audio(repository: JobRepository) -> None:
    jobs = [(await repository.create(new_job(audio_seconds=10.0 * i))).job for i in (1, 2, 3)]
    positions = [await repository.position("ann", job.id) for job in jobs]
    assert [(p.place, p.audio_seconds_ahead, p.estimate) for p in positions if p] == [
        (1, 0, None), (2, 10, None), (3, 30, None),
    ]  # fmt: skip


async def test_the_estimate_is_the_time_of_the_audio_ahead_at_the_measured_speeds(
    repository: JobRepository, database: Database
) -> None:
    await succeed(database, new_job(audio_seconds=100.0, result_version="fast"))
    await succeed(database, new_job(audio_seconds=100.0, result_version="slow"))
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE spleeter_jobs SET started_at = finished_at - interval '10 s' * "
            "CASE result_version WHEN 'slow' THEN 4 ELSE 1 END"
        )
        await transaction.connection.execute("DELETE FROM spleeter_workers")
    claims = Claims(database)
    await repository.create(new_job(audio_seconds=80.0, result_version="slow"))
    claim = await claimed(claims, await claims.register("test", 1))
    await claims.progress(claim, 0.5)
    await repository.create(new_job(audio_seconds=60.0, result_version="fast"))
    forecast = await repository.forecast("ann", 20.0, "new")
    last = (await repository.create(new_job(audio_seconds=20.0, result_version="new"))).job
    await repository.create(new_job(audio_seconds=500.0, result_version="slow"))
    position = await repository.position("ann", last.id)
    assert position == forecast
    assert (position.place, position.audio_seconds_ahead) == (2, 100)  # 40 of them running
    assert position.estimate == pytest.approx(40 * 0.4 + 60 * 0.1 + 20 * 0.25)
    assert await repository.position("ann", claim.job.id) is None
    other = await repository.forecast("bob", 20.0, "fast")
    assert other.place == 1  # fair to those who have nothing queued
    assert other.estimate == pytest.approx(40 * 0.4 + 20 * 0.1)
    await claims.register("more", 3)
    position = await repository.position("ann", last.id)
    assert position
    assert position.estimate == pytest.approx(20 * 0.25)  # a slot is free


async def test_a_waiting_job_that_is_deleted_is_cancelled_and_leaves_the_queue(
    repository: JobRepository, database: Database
) -> None:
    job = (await repository.create(new_job())).job
    cancelled = await repository.delete("ann", job.id)
    assert cancelled.state is State.CANCELLED
    assert cancelled.expires_at
    assert await count(database, "procrastinate_jobs") == 0


async def test_deleting_a_job_that_has_ended_keeps_its_result(
    repository: JobRepository, database: Database
) -> None:
    job = await succeed(database, new_job())
    assert await repository.delete("ann", job.id) == job


async def test_a_deleted_job_is_gone_for_its_tenant(repository: JobRepository) -> None:
    job = (await repository.create(new_job(idempotency_key="k", body_hash="b"))).job
    await repository.delete("ann", job.id)
    with pytest.raises(UnknownJobError):
        await repository.get("ann", job.id)
    assert [job.state for job in (await repository.page("ann")).jobs] == [State.ERASING]
    assert (await repository.create(new_job(idempotency_key="k", body_hash="c"))).origin is Origin.NEW


async def test_an_expired_job_is_gone_before_it_is_erased(
    repository: JobRepository, database: Database
) -> None:
    job = await succeed(database, new_job(idempotency_key="k", body_hash="b"))
    await expire(database, job)
    for call in (repository.get, repository.delete):
        with pytest.raises(UnknownJobError):
            await call("ann", job.id)
    assert (await repository.page("ann")).jobs == ()
    assert await repository.events("ann", job.id) == []
    assert (await repository.create(new_job(idempotency_key="k", body_hash="c"))).origin is Origin.NEW


async def test_events_report_every_change_of_state_and_can_be_resumed(
    repository: JobRepository, database: Database
) -> None:
    job = (await repository.create(new_job())).job
    claims = Claims(database)
    claim = await claimed(claims, await claims.register("test", 1))
    for progress in (0.1, 0.2, 0.3):
        await claims.progress(claim, progress)
    await claims.progress(claim, 0.3, PREVIEW)  # the previews alone reach further
    events = await repository.events("ann", job.id)
    assert [(e.kind, e.state, round(e.progress, 3)) for e in events] == [
        ("state", State.QUEUED, 0), ("state", State.RUNNING, 0), ("progress", State.RUNNING, 0.3),
    ]  # fmt: skip
    assert [event.preview for event in events] == [None, None, asdict(PREVIEW)]
    await claims.fail(claim, Failure("NotAudioError", "no"))
    (event,) = await repository.events("ann", job.id, after=events[-1].id)
    assert event.state is State.FAILED


async def test_the_load_is_measured_over_all_tenants(repository: JobRepository, database: Database) -> None:
    assert await repository.load() == Load(0, 0, 0, 0)
    for tenant in ("ann", "bob", "cid"):
        await repository.create(new_job(tenant, audio_seconds=7))
    claims = Claims(database)
    await claimed(claims, await claims.register("test", 1))
    load = await repository.load()
    assert (load.queued, load.running, load.queued_audio_seconds) == (2, 1, 14)
    assert 0 < load.oldest_seconds < 600


async def test_prefixes_of_jobs_are_distinguished_from_leftovers(repository: JobRepository) -> None:
    job = (await repository.create(new_job())).job
    assert await repository.known_prefixes([job.prefix, "ann/left-over"]) == {job.prefix}


async def test_an_unavailable_database_raises_its_own_error(tmp_path: object) -> None:
    async with Database(f"postgresql://nobody@/none?host={tmp_path}", timeout=0.2) as away:
        with pytest.raises(DatabaseUnavailableError, match="Try again later"):
            await JobRepository(away).create(new_job())


async def run_order(repository: JobRepository, database: Database) -> list[NewJob]:
    claims = Claims(database)
    worker = await claims.register("test", 1)
    order = []
    while claim := await claims.claim(worker):
        order.append(replace(new_job(claim.job.tenant), id=claim.job.id))
        await claims.publish(claim, RESULT)
    return order


async def test_one_song_of_a_tenant_does_not_wait_for_a_hundred_of_another(
    repository: JobRepository, database: Database
) -> None:
    for _ in range(100):
        await repository.create(new_job("ann"))
    one = (await repository.create(new_job("bob"))).job
    position = await repository.position("bob", one.id)
    assert position
    assert position.place == 2
    order = [job.id for job in await run_order(repository, database)]
    assert order.index(one.id) == 1
    assert len(order) == 101


async def test_tenants_with_many_songs_take_turns(repository: JobRepository, database: Database) -> None:
    for tenant in ("ann", "bob", "cid"):
        for _ in range(4):
            await repository.create(new_job(tenant))
    assert [job.tenant for job in await run_order(repository, database)] == ["ann", "bob", "cid"] * 4


async def test_turns_are_measured_in_audio_and_not_in_songs(
    repository: JobRepository, database: Database
) -> None:
    for _ in range(2):
        await repository.create(new_job("ann", audio_seconds=240))
    for _ in range(8):
        await repository.create(new_job("bob", audio_seconds=60))
    tenants = [job.tenant for job in await run_order(repository, database)]
    assert tenants == ["ann", *["bob"] * 4, "ann", *["bob"] * 4]


async def test_a_waiting_tenant_is_not_overtaken_forever(
    repository: JobRepository, database: Database
) -> None:
    for _ in range(5):
        await repository.create(new_job("ann"))
    claims = Claims(database)
    worker = await claims.register("test", 1)
    done = []
    for _ in range(10):  # bob sends a song whenever one is done
        await repository.create(new_job("bob"))
        claim = await claimed(claims, worker)
        done.append(claim.job.tenant)
        await claims.publish(claim, RESULT)
    assert done.count("ann") == 5
