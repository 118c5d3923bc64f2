"""Jobs as workers see them; each call is one transaction, fenced where a job is held.

Every call raises ``DatabaseUnavailableError`` when the database is away. All of them may be
repeated after that, even when the transaction was committed unbeknown to the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from spleeter_microservice.database.connection import Database, Row, Transaction
from spleeter_microservice.jobs.job import Job, Result, State
from spleeter_microservice.jobs.queue import Queue

CRASHES = "process-died"
"""Error type of a job whose processes died too often."""

_WAVE = 60.0
"""Seconds within which crashes of others' processes speak for a job."""
_BURIED = 366 * 24 * 3600.0  # seconds; nobody else is silent for so long without being forgotten


@dataclass(frozen=True)
class Claim:
    """The right to work on a job, as long as its fence has not moved."""

    job: Job
    entry: int

    @property
    def fence(self) -> int:
        """The number that every change to the job is checked against."""
        return self.job.fence


@dataclass(frozen=True)
class HeldJob:
    """A job that a worker holds as the database knows it; not ``running``: cancelled."""

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
    """A job of a dead worker; ``failed`` when it had killed its process too often."""

    job: Job
    failed: bool


class Claims:
    """What workers do to jobs.

    Args:
        database: open.
        crashes: a job that this many processes died of fails.
        most_crashes: with so many it fails even when others' processes die, too, so that
            something else may be what kills them.
    """

    def __init__(self, database: Database, *, crashes: int = 3, most_crashes: int = 10) -> None:
        self._database = database
        self._queue = Queue()
        self.crashes = crashes
        self.most_crashes = most_crashes

    async def register(self, name: str, slots: int) -> int:
        """Register a worker and give its number."""
        async with self._database.transaction() as transaction:
            worker = await self._queue.register(transaction.connection)
            await transaction.do("register_worker", worker=worker, name=name, slots=slots)
            return worker

    async def unregister(self, worker: int) -> None:
        """Forget a worker that holds nothing any more."""
        async with self._database.transaction() as transaction:
            await self._queue.unregister(transaction.connection, worker)

    async def beat(self, worker: int) -> list[HeldJob] | None:
        """Note that a worker lives.

        Returns:
            the jobs that it holds; None when it was taken for dead and must register anew.
        """
        async with self._database.transaction() as transaction:
            await self._queue.beat(transaction.connection, worker)
            if not await transaction.first("lock_worker", worker=worker):
                return None
            rows = await transaction.rows("list_held", worker=worker)
            return [HeldJob(row["id"], row["fence"], row["state"] == State.RUNNING) for row in rows]

    async def claim(self, worker: int) -> Claim | None:
        """Take the next job that waits; None when none does, or when nobody knows the worker."""
        while True:
            async with self._database.transaction() as transaction:
                if not await transaction.first("lock_worker", worker=worker):
                    return None
                taken = await self._queue.take(transaction.connection, worker)
                if taken is None:
                    return None
                entry, job = taken
                row = await transaction.first("claim_job", job=job, entry=entry, worker=worker)
                if row:
                    return Claim(Job.from_row(row), entry)
                await self._queue.remove(transaction.connection, entry)  # of no job that waits

    async def progress(self, claim: Claim, progress: float) -> bool:
        """Note how far a job is; False when it is not held any more."""
        async with self._database.statement() as transaction:
            return bool(
                await transaction.do(
                    "record_progress",
                    job=claim.job.id,
                    fence=claim.fence,
                    progress=min(1.0, max(0.0, progress)),
                )
            )

    async def publish(self, claim: Claim, result: Result) -> bool:
        """Make a result the job's; False when it is not held any more and nothing was changed."""
        async with self._database.transaction() as transaction:
            await transaction.first("lock_entry", entry=claim.entry)
            values = {"job": claim.job.id, "fence": claim.fence}
            if await transaction.do("publish_result", result=Jsonb(result.to_json()), **values):
                await self._queue.remove(transaction.connection, claim.entry)
                return True
            return await transaction.first("find_published", **values) is not None

    async def fail(self, claim: Claim, failure: Failure, *, died: bool = False) -> bool:
        """End a job with an error; False when it is not held any more."""
        async with self._database.transaction() as transaction:
            await transaction.first("lock_entry", entry=claim.entry)
            return await self._fail(transaction, claim, failure, died)

    async def requeue(self, claim: Claim, *, died: bool = False, delay: float = 0.0) -> bool:
        """Put a job back into its old place; False when it is not held any more.

        Args:
            claim: to give up.
            died: count the attempt as one that its process died of.
            delay: seconds before it may be claimed again.
        """
        async with self._database.transaction() as transaction:
            await transaction.first("lock_entry", entry=claim.entry)
            return await self._requeue(transaction, claim, died, delay)

    async def release(self, claim: Claim) -> bool:
        """Let go of a job that was cancelled; False when there is nothing to let go of."""
        async with self._database.transaction() as transaction:
            await transaction.first("lock_entry", entry=claim.entry)
            return await self._release(transaction, claim)

    async def put_back(self, held: HeldJob) -> bool:
        """Let go of a job that its worker knows nothing of; False when it is not held any more.

        A claim that was committed while its connection broke has no one to work on it.
        """
        async with self._database.transaction() as transaction:
            entry = await transaction.first("lock_entry_held", job=held.job, fence=held.fence)
            if entry is None:
                return False
            row = await transaction.one("find_job_of_entry", entry=entry["id"])
            claim = Claim(Job.from_row(row), entry["id"])
            return claim.fence == held.fence and (
                await self._release(transaction, claim) or await self._requeue(transaction, claim, died=False)
            )

    async def is_gone(self, claim: Claim) -> bool:
        """Tell whether the job's row was erased."""
        async with self._database.statement() as transaction:
            return await transaction.first("exists_job", job=claim.job.id) is None

    async def take_over(self, silence: float) -> list[Takeover]:
        """Put back the jobs of workers that were silent for so many seconds.

        A job that ``too_many_crashes`` fails instead.
        """
        async with self._database.transaction() as transaction:
            stalled = await self._queue.stalled(transaction.connection, silence)
        taken = [await self._take_over(entry, worker) for entry, worker in stalled]
        async with self._database.transaction() as transaction:
            await self._queue.forget_silent(transaction.connection, silence)
        return [takeover for takeover in taken if takeover]

    async def requeue_jobs_of(self, name: str) -> list[Takeover]:
        """Put back at once the jobs of a worker that is known to be dead, as ``take_over`` does."""
        async with self._database.transaction() as transaction:
            await transaction.do("bury_worker", name=name)
        return await self.take_over(_BURIED)

    async def _take_over(self, entry: int, worker: int | None) -> Takeover | None:
        async with self._database.transaction() as transaction:
            if not await transaction.first("lock_stalled_entry", entry=entry, worker=worker):
                return None
            row = await transaction.first("find_job_of_entry", entry=entry)
            if row is None:
                await self._queue.remove(transaction.connection, entry)
                return None
            return await self._take_over_job(transaction, Claim(Job.from_row(row), entry))

    async def _take_over_job(self, transaction: Transaction, claim: Claim) -> Takeover | None:
        if await self._release(transaction, claim):
            return None
        failed = await self._is_deadly(transaction, claim.job)
        if failed:
            await self._fail(transaction, claim, crash_failure(claim.job.crashes + 1), died=True)
        else:
            await self._requeue(transaction, claim, died=True)
        return Takeover(claim.job, failed)

    async def too_many_crashes(self, claim: Claim) -> bool:
        """Tell whether a job, of which a process has just died once more, is to blame for that."""
        async with self._database.transaction() as transaction:
            return await self._is_deadly(transaction, claim.job)

    async def _is_deadly(self, transaction: Transaction, job: Job) -> bool:
        crashes = job.crashes + 1
        if crashes < self.crashes or crashes >= self.most_crashes:
            return crashes >= self.crashes
        others = await transaction.one("count_other_deaths", job=job.id, seconds=_WAVE)
        return not others["jobs"]

    async def _fail(self, transaction: Transaction, claim: Claim, failure: Failure, died: bool) -> bool:
        row: Row | None = await transaction.first(
            "fail_job",
            job=claim.job.id,
            fence=claim.fence,
            error_type=failure.type,
            error_message=failure.message,
            died=int(died),
        )
        if row:
            await self._queue.remove(transaction.connection, claim.entry)
        return row is not None

    async def _requeue(self, transaction: Transaction, claim: Claim, died: bool, delay: float = 0.0) -> bool:
        values = {"job": claim.job.id, "fence": claim.fence, "died": int(died)}
        if not await transaction.do("requeue_job", **values):
            return False
        at = datetime.now(UTC) + timedelta(seconds=delay) if delay else None
        await self._queue.put_back(transaction.connection, claim.entry, at)
        return True

    async def _release(self, transaction: Transaction, claim: Claim) -> bool:
        if not await transaction.do("release_job", job=claim.job.id, fence=claim.fence):
            return False
        await self._queue.remove(transaction.connection, claim.entry)
        return True


def crash_failure(crashes: int) -> Failure:
    """Say why a job that so many processes died of fails."""
    return Failure(
        CRASHES,
        f"The process that separated this song died {crashes} times, most likely of this song. Check "
        "that the file plays, convert it to WAV or FLAC, or separate it in parts (offset, duration).",
    )
