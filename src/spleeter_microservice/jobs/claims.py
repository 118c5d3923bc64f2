"""Workers' view of jobs; each call is one transaction, fenced where a job is held.

Every call raises ``DatabaseUnavailableError`` if the database is unavailable. It may then be repeated,
even if the transaction was committed without the caller's knowledge.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from spleeter_microservice.database.connection import Database, Statements, Transaction
from spleeter_microservice.errors import InferenceCrashedError
from spleeter_microservice.jobs import queue
from spleeter_microservice.jobs.job import Job, Preview, Result, State, known_needs
from spleeter_microservice.jobs.queue import entry_priority, virtual_cost

_WAVE = 60.0
"""Seconds; crashes of other jobs' processes within this time suggest a common cause."""
_EXPIRED = 366 * 24 * 3600.0  # seconds; longer than any registered worker can have been silent


@dataclass(frozen=True)
class Claim:
    """The right to work on a job, until the job's fence moves."""

    job: Job
    entry: int

    @property
    def key(self) -> dict[str, Any]:
        """What statements that need the claim are given: the job's id and its fence."""
        return {"job": self.job.id, "fence": self.job.fence}


@dataclass(frozen=True)
class HeldJob:
    """A job that a worker holds according to the database; if not ``running``, it was cancelled."""

    job: UUID
    fence: int
    running: bool


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a stable type for programs, and a message that says what to do."""

    type: str
    message: str


@dataclass(frozen=True)
class Takeover:
    """A job taken from a crashed worker; ``failed`` if its process had crashed too often."""

    job: Job
    failed: bool


class Claims:
    """The operations of workers on jobs.

    Args:
        database: an open database.

    Attributes:
        crashes: number of crashes after which a job fails.
        most_crashes: number of crashes after which a job fails even if other jobs' processes crash too,
            which suggests another cause.
        known: needs of jobs that this version knows (``JobOptions.needs``); jobs with others are left to
            later versions.
    """

    crashes = 3
    most_crashes = 10
    known: Collection[str] = known_needs()

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, name: str, slots: int) -> int:
        """Register a worker and return its number."""
        async with self._database.transaction() as transaction:
            worker: int = (await transaction.one("procrastinate.register_worker"))["worker_id"]
            await transaction.do("register_worker", worker=worker, name=name, slots=slots)
            return worker

    async def unregister(self, worker: int) -> None:
        """Remove a worker that no longer holds a job."""
        await self._database.do("procrastinate.unregister_worker", worker_id=worker)

    async def beat(self, worker: int, *, ready: bool = True) -> list[HeldJob] | None:
        """Record a worker's heartbeat, and whether it is ready.

        Returns:
            the jobs that it holds, or None if it was declared dead and must register again.
        """
        async with self._database.transaction() as transaction:
            await transaction.do("procrastinate.update_heartbeat", worker_id=worker)
            if not await transaction.first("lock_worker", worker=worker):
                return None
            await transaction.do("note_readiness", worker=worker, ready=ready)
            rows = await transaction.rows("list_held", worker=worker)
            return [HeldJob(row["id"], row["fence"], row["state"] == State.RUNNING) for row in rows]

    async def claim(self, worker: int) -> Claim | None:
        """Claim the next queued job; return None if the queue is empty or the worker is not registered."""
        while True:
            async with self._database.transaction() as transaction:
                if not await transaction.first("lock_worker", worker=worker):
                    return None
                taken = await queue.take(transaction, worker, self.known)
                if taken is None:
                    return None
                entry, job = taken
                row = await transaction.first("claim_job", job=job, entry=entry, worker=worker)
                if row:
                    return Claim(Job.from_row(row), entry)
                await queue.remove(transaction, entry)  # its job is no longer queued

    async def progress(self, claim: Claim, progress: float, preview: Preview | None = None) -> bool:
        """Record a job's progress, and how far its previews reach; return False without a claim."""
        found = {"progress": min(1.0, max(0.0, progress)), "preview": preview and Jsonb(asdict(preview))}
        return bool(await self._database.do("record_progress", **claim.key, **found))

    async def publish(self, claim: Claim, result: Result, preview: Preview | None = None) -> bool:
        """Publish a job's result and previews; return False, changing nothing, without a claim."""
        found = {
            "result": Jsonb(result.to_json()),
            "warnings": Jsonb(list(result.warnings)),
            "preview": preview and Jsonb(asdict(preview)),
        }
        async with self._locked(claim) as transaction:
            if await transaction.do("publish_result", **claim.key, **found):
                await queue.remove(transaction, claim.entry)
                return True
            return await transaction.first("find_published", **claim.key) is not None

    async def fail(self, claim: Claim, failure: Failure, *, crashed: bool = False) -> bool:
        """Mark a job failed; return False without a claim."""
        async with self._locked(claim) as transaction:
            return await _fail(transaction, claim, failure, crashed)

    async def requeue(self, claim: Claim, *, crashed: bool = False, delay: float = 0.0) -> bool:
        """Requeue a job in its old place; return False without a claim.

        Args:
            claim: claim to give up.
            crashed: count the attempt as a crash.
            delay: seconds before the job may be claimed again.
        """
        async with self._locked(claim) as transaction:
            return await _requeue(transaction, claim, crashed, delay)

    async def put_back(self, claim: Claim, lacking: str, delay: float) -> bool:
        """Requeue a job like a new one, for lack of something, so that others have their turns first.

        Args:
            claim: claim to give up.
            lacking: code of the error that says what the service lacks.
            delay: seconds before the job may be claimed again.

        Returns:
            False without a claim.
        """
        job = claim.job
        async with self._database.transaction() as transaction:
            await transaction.do("lock_tenant", tenant=job.tenant)
            await transaction.do("lock_entry", entry=claim.entry)
            start = (await transaction.one("find_virtual_start", tenant=job.tenant))["virtual_start"]
            values = {"start": start, "finish": start + virtual_cost(job.audio_seconds), "lacking": lacking}
            if not await transaction.do("put_back_job", **claim.key, **values):
                return False
            await queue.return_entry(transaction, claim.entry, _in(delay), entry_priority(start))
            return True

    async def release(self, claim: Claim) -> bool:
        """Release a cancelled job; return False without a claim."""
        async with self._locked(claim) as transaction:
            return await _release(transaction, claim)

    async def requeue_unknown(self, held: HeldJob) -> bool:
        """Requeue a job whose worker does not know that it holds it; return False if it is not held.

        This happens if the connection breaks while a claim is being committed.
        """
        async with self._database.transaction() as transaction:
            entry = await transaction.first("lock_entry_held", job=held.job, fence=held.fence)
            if entry is None:
                return False
            row = await transaction.one("find_job_of_entry", entry=entry["id"])
            claim = Claim(Job.from_row(row), entry["id"])
            return claim.job.fence == held.fence and (
                await _release(transaction, claim) or await _requeue(transaction, claim, crashed=False)
            )

    async def is_gone(self, claim: Claim) -> bool:
        """Return whether the job's row was erased."""
        return await self._database.first("exists_job", job=claim.job.id) is None

    async def take_over(self, silence: float) -> list[Takeover]:
        """Requeue the jobs of workers without a heartbeat for this many seconds.

        A job with ``too_many_crashes`` fails instead.
        """
        stalled = await self._database.rows(
            "procrastinate.select_stalled_jobs_by_heartbeat",
            queue=None,
            task_name=queue.TASK,
            seconds_since_heartbeat=silence,
        )
        taken = [await self._take_over(row["id"], row["worker_id"]) for row in stalled]
        await self._database.do("procrastinate.prune_stalled_workers", seconds_since_heartbeat=silence)
        return [takeover for takeover in taken if takeover]

    async def requeue_jobs_of(self, name: str) -> list[Takeover]:
        """Requeue at once the jobs of a worker that is known to have exited, as ``take_over`` does."""
        await self._database.do("expire_worker", name=name)
        return await self.take_over(_EXPIRED)

    async def _take_over(self, entry: int, worker: int | None) -> Takeover | None:
        async with self._database.transaction() as transaction:
            if not await transaction.first("lock_stalled_entry", entry=entry, worker=worker):
                return None
            row = await transaction.first("find_job_of_entry", entry=entry)
            if row is None:
                await queue.remove(transaction, entry)
                return None
            claim = Claim(Job.from_row(row), entry)
            if await _release(transaction, claim):
                return None
            failed = await self._too_many_crashes(transaction, claim.job)
            if failed:
                await _fail(transaction, claim, crash_failure(claim.job.crashes + 1), crashed=True)
            else:
                await _requeue(transaction, claim, crashed=True)
            return Takeover(claim.job, failed)

    async def too_many_crashes(self, claim: Claim) -> bool:
        """Return whether a job whose process has just crashed again is probably the cause."""
        return await self._too_many_crashes(self._database, claim.job)

    async def _too_many_crashes(self, statements: Statements, job: Job) -> bool:
        crashes = job.crashes + 1
        if crashes < self.crashes or crashes >= self.most_crashes:
            return crashes >= self.crashes
        others = await statements.one("count_other_crashes", job=job.id, seconds=_WAVE)
        return not others["jobs"]

    @asynccontextmanager
    async def _locked(self, claim: Claim) -> AsyncIterator[Transaction]:
        """Open a transaction that no other one with the job's queue entry runs beside."""
        async with self._database.transaction() as transaction:
            await transaction.do("lock_entry", entry=claim.entry)
            yield transaction


async def _fail(transaction: Transaction, claim: Claim, failure: Failure, crashed: bool) -> bool:
    values = {"error_type": failure.type, "error_message": failure.message, "crashed": int(crashed)}
    failed = await transaction.do("fail_job", **claim.key, **values)
    if failed:
        await queue.remove(transaction, claim.entry)
    return bool(failed)


async def _requeue(transaction: Transaction, claim: Claim, crashed: bool, delay: float = 0.0) -> bool:
    requeued = await transaction.do("requeue_job", **claim.key, crashed=int(crashed))
    if requeued:
        await queue.return_entry(transaction, claim.entry, _in(delay))
    return bool(requeued)


async def _release(transaction: Transaction, claim: Claim) -> bool:
    released = await transaction.do("release_job", **claim.key)
    if released:
        await queue.remove(transaction, claim.entry)
    return bool(released)


def _in(seconds: float) -> datetime | None:
    """Return the time after a delay, or None without one."""
    return datetime.now(UTC) + timedelta(seconds=seconds) if seconds else None


def crash_failure(crashes: int) -> Failure:
    """Return the failure of a job whose process crashed this many times."""
    return Failure(
        InferenceCrashedError.code,
        f"The process that separated this song crashed {crashes} times, most likely because of the song. "
        "Check that the file plays, convert it to WAV or FLAC, or separate it in parts (offset, duration).",
    )
