"""Jobs, databases and workers for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.claims import Claim, Claims
from spleeter_microservice.jobs.job import (
    Job,
    JobOptions,
    NewJob,
    Preview,
    Result,
    State,
    StoredStem,
    new_job_id,
)
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.worker.attempt import AttemptTimings
from spleeter_microservice.worker.worker import Worker, WorkerOptions
from tests.support.waiting import eventually

WARNINGS = [
    {"code": "gap", "message": "Silence fills a gap of 0.4 s.", "position": 0.5},
    {"code": "cut-off", "message": "The last 2.0 s are not in the file.", "position": 2.125},
]
RESULT = Result(
    stems=(StoredStem("vocals", "a/vocals.wav", 12, "ab" * 32), StoredStem("other", "a/o.wav", 3, "cd" * 32)),
    model="2stems",
    quality={"residual": -100.5, "stems": {"vocals": {"level": None}}},
    warnings=tuple(WARNINGS),
)
PREVIEW = Preview(["vocals"], 2, 12.5, 10)
QUICK = WorkerOptions(
    heartbeat=0.2,
    silence=60.0,
    poll=0.5,
    grace=60.0,
    release_timeout=1.5,
    timings=AttemptTimings(progress=0.05, retry=0.05, reconnect=0.05),
)


def new_job(tenant: str = "ann", **changes: Any) -> NewJob:
    """Return a new job that is unlike any other."""
    number = new_job_id()
    job = NewJob(
        tenant=tenant,
        prefix=f"{tenant}/{number}",
        input_key=f"{tenant}/{number}/input",
        input_name="song.mp3",
        audio_seconds=30.0,
        content_hash=number.hex,
        retention=timedelta(hours=1),
        id=number,
    )
    return replace(job, **changes)


def killing_job(tenant: str = "ann") -> NewJob:
    """Return a job that kills the process of ``tests.support.worker_process`` that runs it."""
    return new_job(tenant, options=JobOptions(metadata={"deed": "kill"}))


async def cancel(database: Database, job: Job) -> None:
    """Cancel a job without deleting it."""
    await database.do("cancel_job", tenant=job.tenant, job=job.id)


async def expire(database: Database, job: Job) -> None:
    """End the retention of a job now."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE spleeter_jobs SET expires_at = now() WHERE id = %s", [job.id]
        )


async def claimed(claims: Claims, worker: int) -> Claim:
    """Claim the next job, which must exist."""
    claim = await claims.claim(worker)
    assert claim is not None
    return claim


async def succeed(database: Database, new: NewJob) -> Job:
    """Create a job and publish its result."""
    await JobRepository(database).create(new)
    claims = Claims(database)
    worker = await claims.register("test", 1)
    claim = await claimed(claims, worker)
    assert claim.job.id == new.id
    assert await claims.publish(claim, RESULT)
    return await JobRepository(database).get(new.tenant, new.id)


async def until(repository: JobRepository, job: UUID, *states: State, tenant: str = "ann") -> Job:
    """Wait until a job is in one of these states."""

    async def reached() -> Job | None:
        found = await repository.get(tenant, job)
        assert found.state in states or not found.state.final, found
        return found if found.state in states else None

    return await eventually(reached)


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncIterator[Worker]:
    """Run a worker, and stop it at the end."""
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


class Songs:
    """A fake separation that only waits, and records what it was asked to do."""

    def __init__(
        self, seconds: float = 0.0, error: Callable[[Job], Exception | None] = lambda job: None
    ) -> None:
        self.seconds = seconds
        self.error = error
        self.begun: list[UUID] = []
        self.given_up: list[UUID] = []
        self.erased: list[str] = []

    async def __call__(self, job: Job, report_progress: Callable[[float], None]) -> Result:
        """Wait, then return the result or raise the error."""
        self.begun.append(job.id)
        report_progress(0.5)
        try:
            await asyncio.wait_for(asyncio.Event().wait(), self.seconds)
        except asyncio.CancelledError:
            self.given_up.append(job.id)
            raise
        except TimeoutError:
            pass
        error = self.error(job)
        if error:
            raise error
        return RESULT

    async def erase(self, prefix: str) -> None:
        """Record the prefix that should be erased."""
        self.erased.append(prefix)
