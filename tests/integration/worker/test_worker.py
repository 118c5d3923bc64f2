"""A worker runs fake separations on a real database."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    DatabaseUnavailableError,
    InferenceCrashedError,
    NotAudioError,
    SpleeterError,
    StorageFullError,
)
from spleeter_microservice.jobs.claims import Claims
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.jobs.notifications import JobNotifications, Notice
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.worker.attempt import Outcome
from spleeter_microservice.worker.worker import Worker
from tests.support.job_samples import QUICK, RESULT, Songs, at_work, new_job, until
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio


def worker(database: Database, songs: Songs, **changes: Any) -> Worker:
    return Worker(database, songs, songs.erase, replace(QUICK, **changes))


async def test_a_job_is_run_and_its_result_published(database: Database, repository: JobRepository) -> None:
    async with at_work(worker(database, Songs())):
        job = (await repository.create(new_job())).job
        done = await until(repository, job.id, State.SUCCEEDED)
    assert (done.result, done.attempts, done.progress) == (RESULT, 1, 1)


async def test_a_waiting_worker_starts_a_new_job_without_waiting_to_look(
    database: Database, repository: JobRepository
) -> None:
    async with at_work(worker(database, Songs(), poll=3600.0)) as waiting:
        await eventually(lambda: waiting.number)
        for _ in range(3):
            job = (await repository.create(new_job())).job
            await until(repository, job.id, State.SUCCEEDED)


async def test_slots_work_at_the_same_time(database: Database, repository: JobRepository) -> None:
    songs = Songs(seconds=0.5)
    jobs = [(await repository.create(new_job())).job for _ in range(3)]
    async with at_work(worker(database, songs, slots=3)) as working:
        await eventually(lambda: working.running >= 3)
        assert working.number
        for job in jobs:
            await until(repository, job.id, State.SUCCEEDED)


async def test_progress_is_seen_while_a_job_runs(database: Database, repository: JobRepository) -> None:
    job = (await repository.create(new_job())).job

    async def halfway() -> bool:
        return (await repository.get("ann", job.id)).progress == 0.5

    async with at_work(worker(database, Songs(seconds=1.0))):
        await eventually(halfway)


async def test_an_error_caused_by_the_song_fails_the_job_at_once(
    database: Database, repository: JobRepository, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    songs = Songs(error=lambda job: NotAudioError("not audio:\0 convert it"))
    job = (await repository.create(new_job())).job
    async with at_work(worker(database, songs)):
        failed = await until(repository, job.id, State.FAILED)
    assert (failed.error_type, failed.error_message) == ("not-audio", "not audio:� convert it")
    assert [vars(line)["problem"] for line in caplog.records if line.message == "job failed"] == ["not-audio"]
    assert len(songs.begun) == 1


async def test_a_job_whose_process_crashes_is_tried_three_times(
    database: Database, repository: JobRepository
) -> None:
    songs = Songs(error=lambda job: InferenceCrashedError("killed"))
    job = (await repository.create(new_job())).job
    async with at_work(worker(database, songs)):
        failed = await until(repository, job.id, State.FAILED)
    assert (failed.error_type, failed.crashes, len(songs.begun)) == ("process-died", 3, 3)


def always(error: Exception) -> Callable[[Job], Exception]:
    return lambda job: error


async def test_an_unexpected_error_is_retried_and_its_text_not_shown(
    database: Database, repository: JobRepository
) -> None:
    outcomes: list[Exception | None] = [OSError("/secret/path"), None]
    at_once = {"poll": 0.05, "timings": replace(QUICK.timings, retry=0.0)}
    one = (await repository.create(new_job())).job
    async with at_work(worker(database, Songs(error=lambda job: outcomes.pop(0)), **at_once)):
        await until(repository, one.id, State.SUCCEEDED)
    two = (await repository.create(new_job())).job
    async with at_work(worker(database, Songs(error=always(OSError("/secret/path"))), **at_once)):
        failed = await until(repository, two.id, State.FAILED)
    assert failed.error_type == "internal-error"
    assert "secret" not in (failed.error_message or "")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StorageFullError("/secret/path"), "disk-full"),
        (DatabaseUnavailableError("/secret/path"), "internal-error"),
    ],
)
async def test_a_job_waits_for_what_the_service_lacks_for_a_day(
    database: Database, repository: JobRepository, error: SpleeterError, kind: str
) -> None:
    lacking = True
    songs = Songs(error=lambda job: error if lacking else None)
    at_once = {"poll": 0.05, "timings": replace(QUICK.timings, lack=0.0)}
    one, two = [(await repository.create(new_job())).job for _ in range(2)]
    async with at_work(worker(database, songs, **at_once)):
        await eventually(lambda: songs.begun.count(one.id) > 4)
        waiting = await repository.get("ann", one.id)
        assert (waiting.waiting_for, waiting.state.final) == (error.code, False)
        await eventually(lambda: songs.begun.count(one.id) > 6)
        assert (await repository.get("ann", one.id)).waiting_since == waiting.waiting_since
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE spleeter_jobs SET waiting_since = now() - interval '1 day' WHERE id = %s", [two.id]
            )
        failed = await until(repository, two.id, State.FAILED)
        lacking = False
        done = await until(repository, one.id, State.SUCCEEDED)
    assert (failed.error_type, failed.crashes, done.crashes) == (kind, 0, 0)
    assert "secret" not in (failed.error_message or "")


async def test_a_result_that_cannot_be_stored_fails_its_job_and_no_other(
    database: Database, repository: JobRepository
) -> None:
    class Wrong(Songs):
        async def __call__(self, job: Job, *_: Any) -> Any:
            return replace(RESULT, model="\0") if job.tenant == "bob" else RESULT

    bad = (await repository.create(new_job("bob"))).job
    good = (await repository.create(new_job())).job
    async with at_work(worker(database, Wrong())):
        await until(repository, good.id, State.SUCCEEDED)
        failed = await until(repository, bad.id, State.FAILED, tenant="bob")
    assert failed.error_type == "internal-error"


async def test_a_deleted_job_stops_at_once(database: Database, repository: JobRepository) -> None:
    songs = Songs(seconds=600)
    job = (await repository.create(new_job())).job
    async with at_work(worker(database, songs, heartbeat=300.0, silence=600.0)) as working:
        await eventually(lambda: songs.begun)
        await repository.delete("ann", job.id)
        await eventually(lambda: not working.running)
    assert songs.given_up == [job.id]


async def test_a_separation_that_ignores_cancellation_is_interrupted(
    database: Database, repository: JobRepository
) -> None:
    class Deaf(Songs):
        async def __call__(self, job: Job, *_: Any) -> Any:
            self.begun.append(job.id)
            await asyncio.Event().wait()

    songs = Deaf()
    job = (await repository.create(new_job())).job
    async with at_work(worker(database, songs)) as working:
        await eventually(lambda: songs.begun)
        await repository.delete("ann", job.id)
        await eventually(lambda: not working.running)


async def test_a_stopping_worker_finishes_what_it_can_in_the_grace_period(
    database: Database, repository: JobRepository
) -> None:
    songs = Songs(seconds=0.5)
    jobs = [(await repository.create(new_job())).job for _ in range(2)]
    async with at_work(worker(database, songs)):
        await eventually(lambda: songs.begun)
    states = [(await repository.get("ann", job.id)).state for job in jobs]
    assert states == [State.SUCCEEDED, State.QUEUED]


async def test_a_job_that_outlasts_the_grace_period_is_requeued(
    database: Database, repository: JobRepository
) -> None:
    class Stopping(Songs):
        async def __call__(self, job: Job, report_progress: Any) -> Any:
            try:
                await super().__call__(job, report_progress)
            finally:
                raise InterruptedError

    songs = Stopping(seconds=30)
    job = (await repository.create(new_job())).job
    async with at_work(worker(database, songs, grace=0.2)):
        await eventually(lambda: songs.begun)
    back = await repository.get("ann", job.id)
    assert (back.state, back.crashes, back.progress) == (State.QUEUED, 0, 0)
    async with at_work(worker(database, Songs())):
        await until(repository, job.id, State.SUCCEEDED)


async def test_a_worker_declared_dead_drops_its_jobs_and_registers_again(
    database: Database, repository: JobRepository
) -> None:
    songs = Songs(seconds=1.0)
    endings: list[Outcome] = []
    job = (await repository.create(new_job())).job
    working = Worker(database, songs, songs.erase, QUICK, lambda job, ending, seconds: endings.append(ending))
    async with at_work(working):
        await eventually(lambda: songs.begun)
        await Claims(database).take_over(0)
        done = await until(repository, job.id, State.SUCCEEDED)
    assert (done.attempts, done.crashes) == (2, 1)
    assert endings == [Outcome.LOST, Outcome.SUCCEEDED]


async def test_a_job_whose_claim_never_reached_the_worker_is_still_run(
    database: Database, repository: JobRepository
) -> None:
    async with at_work(worker(database, Songs(seconds=1.0))) as working:
        busy = (await repository.create(new_job())).job
        await until(repository, busy.id, State.RUNNING)
        job = (await repository.create(new_job())).job
        async with database.transaction() as transaction:
            row = await (await transaction.connection.execute("SELECT id FROM spleeter_workers")).fetchone()
        assert row
        lost = await Claims(database).claim(row["id"])  # in the worker's name, which does not hear of it
        assert lost
        assert lost.job.id == job.id
        done = await until(repository, job.id, State.SUCCEEDED)
        assert working.number
    assert (done.attempts, done.crashes) == (2, 0)


async def test_expired_jobs_are_swept(database: Database, repository: JobRepository) -> None:
    songs = Songs()
    job = (await repository.create(new_job(retention=timedelta()))).job
    async with at_work(worker(database, songs, sweep=0.1)):
        await eventually(lambda: songs.erased)
    assert songs.erased == [job.prefix]


async def test_every_change_of_a_job_is_notified(database: Database, repository: JobRepository) -> None:
    heard: list[Notice | None] = []
    listening = asyncio.create_task(JobNotifications(database.url, heard.append).run())
    await eventually(lambda: heard)
    job = (await repository.create(new_job())).job
    await repository.delete("ann", job.id)
    await eventually(lambda: len(heard) >= 4)
    listening.cancel()
    assert heard[0] is None
    assert [notice.state for notice in heard if notice] == ["queued", "cancelled", "deleted"]
    events = await repository.events("ann", job.id)
    assert events == []
    assert all(notice.job == job.id for notice in heard if notice)
