"""Real worker processes that are killed, stopped and cut off from a real PostgreSQL."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from spleeter_microservice.database.connection import Database
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.migrate import migrate
from spleeter_microservice.jobs.job import Job, NewJob, State
from spleeter_microservice.jobs.repository import JobRepository
from tests.support.job_samples import killing_job, new_job, until
from tests.support.waiting import eventually, still, wait_until

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

_REPOSITORY = Path(__file__).parents[2]
QUICK = {"heartbeat": 0.2, "silence": 60.0, "poll": 0.5, "pace": {"progress": 0.1, "reconnect": 0.1}}
IMPATIENT = QUICK | {"silence": 4.0}  # takes over the jobs of the dead early


class WorkerRegistry:
    """Worker processes, and the folder that they write to."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, seconds: float = 0.05, **options: Any) -> subprocess.Popen[bytes]:
        """Start a worker that takes so long for each job."""
        arguments = [self.url, str(self.folder), str(seconds), json.dumps(options)]
        with self._log(len(self.workers)).open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.support.worker_process", *arguments],
                cwd=_REPOSITORY,
                env=os.environ | {"PYTHONPATH": str(_REPOSITORY / "src")},
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def attempts(self) -> list[tuple[int, UUID]]:
        """Return which worker started which job, in order."""
        log = self.folder / "attempts"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(int(line.split()[0]), UUID(line.split()[1])) for line in lines]

    async def begun(self, count: int = 1) -> list[tuple[int, UUID]]:
        """Wait for this many attempts."""
        await eventually(lambda: len(self.attempts()) >= count)
        return self.attempts()

    def _log(self, number: int) -> Path:
        return self.folder / f"log{number}"

    async def logged(self, event: str) -> None:
        """Wait until every worker has logged an event."""
        logs = [self._log(number) for number in range(len(self.workers))]
        await eventually(lambda: all(event in log.read_text() for log in logs))

    def kill(self, pid: int) -> None:
        """End a worker without a word."""
        (worker,) = (one for one in self.workers if one.pid == pid)
        worker.kill()
        worker.wait()


@contextmanager
def a_fleet(url: str, folder: Path) -> Iterator[WorkerRegistry]:
    fleet = WorkerRegistry(url, folder)
    try:
        yield fleet
    finally:
        for worker in fleet.workers:
            worker.kill()
            worker.wait()


@pytest.fixture
def fleet(database_url: str, tmp_path: Path) -> Iterator[WorkerRegistry]:
    with a_fleet(database_url, tmp_path) as fleet:
        yield fleet


@pytest_asyncio.fixture
async def repository(database_url: str) -> AsyncIterator[JobRepository]:
    async with Database(database_url, timeout=60) as database:
        yield JobRepository(database)


async def progressed(repository: JobRepository, job: Job) -> bool:
    return (await repository.get("ann", job.id)).progress > 0


async def unchanged(repository: JobRepository, job: Job) -> bool:
    return await repository.get("ann", job.id) == job


async def create(repository: JobRepository, *jobs: NewJob) -> list[Job]:
    return [(await repository.create(job)).job for job in jobs]


def assert_whole(job: Job, folder: Path) -> None:
    """Check that the published result is what was stored."""
    assert job.result
    (stem,) = job.result.stems
    stored = (folder / stem.key).read_bytes()
    assert stored == str(job.id).encode()
    assert (stem.size, stem.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())


async def test_another_worker_finishes_a_killed_workers_job(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    fleet.start(1.0)
    fleet.start(1.0)  # both with the pace that the service has
    (job,) = await create(repository, new_job())
    ((pid, _),) = await fleet.begun()
    await eventually(lambda: progressed(repository, job))
    fleet.kill(pid)
    done = await until(repository, job.id, State.SUCCEEDED)
    assert (done.attempts, done.crashes) == (2, 1)
    assert [one for one, _ in fleet.attempts() if one != pid]
    assert_whole(done, fleet.folder)


async def test_a_restarted_worker_takes_over_the_jobs_of_the_killed_one(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    fleet.start(1.0, **IMPATIENT)
    (job,) = await create(repository, new_job())
    ((pid, _),) = await fleet.begun()
    fleet.kill(pid)
    fleet.start(0.1, **IMPATIENT)
    assert_whole(await until(repository, job.id, State.SUCCEEDED), fleet.folder)


async def test_a_job_that_crashes_three_processes_fails_and_others_go_on(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    for _ in range(4):
        fleet.start(0.2, **IMPATIENT)
    (bad,) = await create(repository, killing_job())
    good = await create(repository, *(new_job("bob") for _ in range(10)))
    failed = await until(repository, bad.id, State.FAILED)
    assert (failed.error_type, failed.crashes, failed.attempts) == ("process-died", 3, 3)
    assert "crashed 3 times" in (failed.error_message or "")
    for job in good:
        await until(repository, job.id, State.SUCCEEDED, tenant="bob")
    assert [worker.poll() for worker in fleet.workers].count(-signal.SIGKILL) == 3


async def test_two_workers_run_each_of_a_hundred_jobs_once(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    jobs = await create(repository, *(new_job() for _ in range(100)))
    for _ in range(2):
        fleet.start(0.01, slots=2, **QUICK)
    done = [await until(repository, job.id, State.SUCCEEDED) for job in jobs]
    for job in done:
        assert_whole(job, fleet.folder)
        states = [event.state for event in await repository.events("ann", job.id)]
        assert states.count(State.SUCCEEDED) == 1
    assert set(Counter(job for _, job in fleet.attempts()).values()) == {1}
    assert len({pid for pid, _ in fleet.attempts()}) == 2


async def test_sigterm_lets_a_job_end_within_the_grace_period(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    worker = fleet.start(1.0, **QUICK)
    first, second = await create(repository, new_job(), new_job())
    await fleet.begun()
    worker.terminate()
    assert worker.wait() == 0
    assert (await repository.get("ann", first.id)).state is State.SUCCEEDED
    assert (await repository.get("ann", second.id)).state is State.QUEUED


async def test_sigterm_requeues_a_longer_job_and_another_worker_runs_it(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    worker = fleet.start(5.0, grace=0.3, **QUICK)
    (job,) = await create(repository, new_job())
    await fleet.begun()
    worker.terminate()
    assert worker.wait() == 0
    back = await repository.get("ann", job.id)
    assert (back.state, back.crashes) == (State.QUEUED, 0)
    fleet.start(0.1, **QUICK)
    assert_whole(await until(repository, job.id, State.SUCCEEDED), fleet.folder)


async def test_a_cancelled_job_stops_and_frees_the_slot(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    fleet.start(600.0, slots=1)
    long, other = await create(repository, new_job(), new_job())
    await fleet.begun()
    assert (await repository.delete("ann", long.id)).state is State.CANCELLED
    (_, _), (_, next_one) = await fleet.begun(2)
    assert next_one == other.id


async def test_a_frozen_worker_publishes_no_job_that_another_has_taken_over(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    fleet.start(1.5, **IMPATIENT)
    (job,) = await create(repository, new_job())
    ((pid, _),) = await fleet.begun()
    os.kill(pid, signal.SIGSTOP)
    fleet.start(1.5, **IMPATIENT)
    await fleet.begun(2)
    os.kill(pid, signal.SIGCONT)
    done = await until(repository, job.id, State.SUCCEEDED)
    await still(lambda: unchanged(repository, done))
    states = [event.state for event in await repository.events("ann", job.id)]
    assert states == [State.QUEUED, State.RUNNING, State.QUEUED, State.RUNNING, State.SUCCEEDED]


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL to be stopped and killed."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("own")) as server:
        migrate(server.url)
        yield server


def stop_at_once(server: EmbeddedPostgres) -> None:
    """End PostgreSQL as a power cut would, but for the disk."""
    pid = (server.cluster / "postmaster.pid").read_text().split()[0]
    os.kill(int(pid), signal.SIGQUIT)
    wait_until(lambda: not server.answers())


async def test_an_immediate_stop_of_the_database_in_the_middle_loses_nothing(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with a_fleet(own_postgres.url, tmp_path) as fleet:
        async with Database(own_postgres.url, timeout=60) as database:
            repository = JobRepository(database)
            jobs = await create(repository, *(new_job() for _ in range(20)))
            for _ in range(2):
                fleet.start(0.2, slots=2, **QUICK)
            await fleet.begun(6)
            stop_at_once(own_postgres)
            await fleet.logged("database unavailable")
            own_postgres.ensure_running()
            for job in jobs:
                assert_whole(await until(repository, job.id, State.SUCCEEDED), tmp_path)
        assert max(Counter(job for _, job in fleet.attempts()).values()) <= 2


async def test_jobs_that_run_during_a_database_outage_are_finished_and_not_restarted(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with a_fleet(own_postgres.url, tmp_path) as fleet:
        async with Database(own_postgres.url, timeout=60) as database:
            repository = JobRepository(database)
            jobs = await create(repository, *(new_job() for _ in range(2)))
            for _ in range(2):
                fleet.start(3.0, **QUICK)
            await fleet.begun(2)
            stop_at_once(own_postgres)
            await fleet.logged("waiting for the database")  # the jobs are done
            own_postgres.ensure_running()
            done = [await until(repository, job.id, State.SUCCEEDED) for job in jobs]
        assert [(job.attempts, job.crashes) for job in done] == [(1, 0), (1, 0)]


async def test_a_worker_that_starts_before_its_database_waits_for_it(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    async with Database(own_postgres.url, timeout=60) as database:
        (job,) = await create(JobRepository(database), new_job())
    stop_at_once(own_postgres)
    with a_fleet(own_postgres.url, tmp_path) as fleet:
        worker = fleet.start(0.1, **QUICK)
        await fleet.logged("database unavailable")
        assert worker.poll() is None
        own_postgres.ensure_running()
        async with Database(own_postgres.url, timeout=60) as database:
            await until(JobRepository(database), job.id, State.SUCCEEDED)


async def test_a_song_of_another_tenant_does_not_wait_for_a_hundred(
    fleet: WorkerRegistry, repository: JobRepository
) -> None:
    await create(repository, *(new_job() for _ in range(100)))
    (one,) = await create(repository, replace(new_job(), tenant="bob"))
    fleet.start(0.05, **QUICK)
    await until(repository, one.id, State.SUCCEEDED, tenant="bob")
    assert [job for _, job in fleet.attempts()].index(one.id) <= 1
