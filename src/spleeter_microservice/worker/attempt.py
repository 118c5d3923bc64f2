"""One attempt at a job, from its claim to its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import Protocol, TypeVar

from spleeter_microservice import errors
from spleeter_microservice.jobs.claims import Claim, Claims, Failure, crash_failure
from spleeter_microservice.jobs.job import Job, Preview, Result
from spleeter_microservice.jobs.retention import Erase

logger = logging.getLogger(__name__)

T = TypeVar("T")

_RETRIED = (errors.InferenceCrashedError, errors.InferenceUnavailableError)
LACKS = (errors.StorageUnavailableError, errors.DatabaseUnavailableError, errors.DiskFullError)
_LONGEST_WAIT = timedelta(days=1)


class Report(Protocol):
    """A function that takes the fraction done, 0 to 1, and how far the previews reach if that has changed."""

    def __call__(self, progress: float, preview: Preview | None = None) -> None:
        """Take both, and never block."""


class Separate(Protocol):
    """A function that separates a job's song and stores the stems.

    It reads the input from the object store and writes the stems below the job's prefix. Each key depends
    only on the job and the stem's name, so that a second attempt overwrites the remains of a first; keys of
    previews, which are served before the job has ended, name the attempt. It is
    called for several jobs at once, one per slot. It is cancelled when the result is no longer wanted, and
    must then end within a second.

    Raises:
        SpleeterError: the job fails with this error.
        InferenceCrashedError: the job is retried; it fails after three crashes.
        StorageUnavailableError, DatabaseUnavailableError, DiskFullError: the job is put back until there is
            space, or a store or database that works; it fails after a day.
        Exception: the job is retried as after a crash; the message is not shown to the client.
    """

    async def __call__(self, job: Job, report_progress: Report) -> Result:
        """Separate a job's song.

        Args:
            job: job to run.
            report_progress: takes the fraction done, 0 to 1, and how far the previews reach; never blocks.
        """


class Outcome(Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Another worker has the job now."""
    REQUEUED = "put back"
    """The worker was told to stop, or the service lacks what the job needs; the job will be run later."""


@dataclass(frozen=True)
class AttemptTimings:
    """Timings of an attempt, in seconds.

    Attributes:
        progress: time between updates of a job's progress.
        retry: delay before a job is retried, multiplied by its number of crashes.
        lack: delay before a job is claimed again for which the service lacked something, such as space.
        reconnect: time between attempts to reach the database.
    """

    progress: float = 0.5
    retry: float = 1.0
    lack: float = 10.0
    reconnect: float = 0.5


class Attempt:
    """An attempt at a claimed job, which can be stopped from outside.

    Args:
        claim: claim of the job.
        claims: operations on claims.
        separate: function that separates the song.
        erase: function that erases the objects of a deleted job.
        timings: timings of the attempt.

    Attributes:
        audio_seconds: seconds of audio, which may be an estimate until the song is separated.
    """

    def __init__(
        self,
        claim: Claim,
        claims: Claims,
        separate: Separate,
        erase: Erase,
        timings: AttemptTimings,
    ) -> None:
        self.claim = claim
        self.audio_seconds = claim.job.audio_seconds
        self._claims = claims
        self._separate = separate
        self._erase = erase
        self._timings = timings
        self._stopped = asyncio.Event()
        self._reason: Outcome | None = None
        self._progress = 0.0
        self._preview: Preview | None = None
        self._described = {"job_id": str(claim.job.id)}

    def stop(self, reason: Outcome) -> None:
        """Stop the work; the first reason counts, except that any other replaces ``REQUEUED``."""
        if self._reason in (None, Outcome.REQUEUED):
            self._reason = reason
        self._stopped.set()

    async def run(self) -> Outcome:
        """Run the job and record its outcome, however long the database is unavailable."""
        recording = asyncio.create_task(self._record_progress())
        try:
            outcome = await self._work()
        finally:
            recording.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await recording
        return await self._end(outcome)

    async def _work(self) -> Result | Exception | None:
        """Return the result, the error, or None if the work was stopped."""
        work = asyncio.ensure_future(self._separate(self.claim.job, self._report))
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            work.cancel()  # no effect once it is done
            await asyncio.wait((work,))
        if work.cancelled():
            return None
        error = work.exception()
        if error is None:
            return work.result()
        if isinstance(error, Exception):
            return None if self._reason else error
        raise error

    def _report(self, progress: float, preview: Preview | None = None) -> None:
        self._progress = max(self._progress, progress)
        self._preview = preview or self._preview

    async def _record_progress(self) -> None:
        recorded: tuple[float, Preview | None] = (0.0, None)
        while True:
            await asyncio.sleep(self._timings.progress)
            reached = (self._progress, self._preview)
            if reached != recorded and self._reason is None:
                with contextlib.suppress(errors.DatabaseUnavailableError):
                    if not await self._claims.progress(self.claim, *reached):
                        self.stop(Outcome.LOST)
                    recorded = reached

    async def _end(self, outcome: Result | Exception | None) -> Outcome:
        if isinstance(outcome, Result):
            self.audio_seconds = outcome.details.get("duration", self.audio_seconds)
            publishing = partial(self._claims.publish, self.claim, outcome, self._preview)
            return await self._end_as(Outcome.SUCCEEDED, publishing)
        if isinstance(outcome, Exception):
            return await self._end_with(outcome)
        if self._reason is Outcome.REQUEUED:
            return await self._end_as(Outcome.REQUEUED, partial(self._claims.requeue, self.claim))
        return await self._release()

    async def _end_as(self, outcome: Outcome, change: Callable[[], Awaitable[bool]]) -> Outcome:
        """Make the change that ends the claim with an outcome; without a claim, release the job."""
        return outcome if await self._insist(change) else await self._release()

    async def _end_with(self, error: Exception) -> Outcome:
        if isinstance(error, LACKS):
            return await self._put_back(error)
        logger.info("separation failed", extra=self._described, exc_info=error)
        if isinstance(error, errors.SpleeterError) and not isinstance(error, _RETRIED):
            message = str(error).replace("\0", "�")  # PostgreSQL's text has no NUL
            return await self._fail(Failure(error.code, message), crashed=False)
        crashes = self.claim.job.crashes + 1
        if not await self._insist(lambda: self._claims.too_many_crashes(self.claim)):
            delay = self._timings.retry * crashes
            requeueing = partial(self._claims.requeue, self.claim, crashed=True, delay=delay)
            return await self._end_as(Outcome.RETRIED, requeueing)
        crashed = isinstance(error, errors.InferenceCrashedError)
        return await self._fail(crash_failure(crashes) if crashed else _failure(error), crashed=True)

    async def _put_back(self, error: errors.SpleeterError) -> Outcome:
        """Put a job back, without counting a crash, until the service has what it lacks."""
        since = self.claim.job.waiting_since
        if since and datetime.now(UTC) - since > _LONGEST_WAIT:
            return await self._fail(_failure(error), crashed=False)
        logger.warning("job put back: %s", error, extra=self._described)
        returning = partial(self._claims.put_back, self.claim, error.code, self._timings.lack)
        return await self._end_as(Outcome.REQUEUED, returning)

    async def _fail(self, failure: Failure, *, crashed: bool) -> Outcome:
        logger.info("job failed", extra=self._described | {"problem": failure.type})
        failing = partial(self._claims.fail, self.claim, failure, crashed=crashed)
        return await self._end_as(Outcome.FAILED, failing)

    async def abandon(self) -> Outcome:
        """Mark the job failed after an unexpected error."""
        return await self._fail(_INTERNAL, crashed=False)

    async def _release(self) -> Outcome:
        """Release a job that is no longer held; if it was deleted, erase its objects."""
        if await self._insist(lambda: self._claims.release(self.claim)):
            return Outcome.CANCELLED
        if not await self._insist(lambda: self._claims.is_gone(self.claim)):
            return Outcome.LOST
        try:
            await self._erase(self.claim.job.prefix)
        except Exception:
            logger.exception("cannot erase a deleted job's objects", extra=self._described)
        return Outcome.CANCELLED

    async def _insist(self, change: Callable[[], Awaitable[T]]) -> T:
        """Make a change, waiting for the database if necessary."""
        while True:
            try:
                return await change()
            except errors.DatabaseUnavailableError:
                logger.warning("waiting for the database", extra=self._described)
                await asyncio.sleep(self._timings.reconnect)


def _failure(error: Exception) -> Failure:
    """Return the failure for a reason within the service."""
    if isinstance(error, errors.SpleeterError) and error.code == errors.DiskFullError.code:
        return Failure(error.code, error.public)
    return _INTERNAL


_INTERNAL = Failure(
    errors.SpleeterError.code,
    "The separation failed repeatedly for a reason within the service. Try again later; if this lasts, "
    "report the job's id to the operator.",
)
