"""One attempt at one job, from its claim to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from spleeter_microservice.errors import (
    DatabaseUnavailableError,
    InferenceCrashedError,
    InferenceUnavailableError,
    SpleeterError,
    StorageUnavailableError,
)
from spleeter_microservice.jobs.claims import Claim, Claims, Failure, crash_failure
from spleeter_microservice.jobs.job import Job, Result
from spleeter_microservice.jobs.retention import Erase

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Separate(Protocol):
    """Separates a song and stores its stems.

    It reads the job's input from the object store and writes the stems below the job's prefix, each
    under a key that the job and the stem's name alone decide, so that a second attempt overwrites
    what a first one left. It is called for several jobs at a time, one per slot.

    Raises:
        SpleeterError: the job fails with it.
        InferenceCrashedError: the job is tried again; one that its processes died of three times
            fails.
        InferenceUnavailableError, StorageUnavailableError: as that, for a reason within the service.
        Exception: the same; the message is not shown to the client.
    """

    async def __call__(
        self, job: Job, report_progress: Callable[[float], None], cancelled: asyncio.Event
    ) -> Result:
        """Separate.

        Args:
            job: to be done.
            report_progress: takes the share that is done, 0 to 1; never waits.
            cancelled: set when nobody wants the result any more. Stop within a second and raise
                ``JobStoppedError``, or anything else, then.
        """


ErrorNames = Callable[[SpleeterError], str]
"""Gives the stable name of an error."""


def class_name(error: SpleeterError) -> str:
    """Name an error by its class."""
    return type(error).__name__


class Outcome(Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Another worker has the job now."""
    PUT_BACK = "put back"
    """The worker was told to stop; another one will do the job."""


@dataclass(frozen=True)
class AttemptTimings:
    """How often and how long.

    Attributes:
        progress: seconds between notes of a job's progress.
        give_up: seconds that a cancelled separation gets before it is interrupted.
        retry: seconds before a job is tried again, times the crashes before.
        reconnect: seconds between attempts to reach the database.
    """

    progress: float = 0.5
    give_up: float = 5.0
    retry: float = 1.0
    reconnect: float = 0.5


class Attempt:
    """Separates one song, with its claim watched from outside.

    Args:
        claim: to work on.
        claims: where its changes go.
        separate: does the work.
        erase: erases objects of a job that is gone.
        pace: of everything.
        name_error: names what a job fails with, for programs.
    """

    def __init__(
        self,
        claim: Claim,
        claims: Claims,
        separate: Separate,
        erase: Erase,
        pace: AttemptTimings,
        name_error: ErrorNames = class_name,
    ) -> None:
        self.claim = claim
        self._claims = claims
        self._separate = separate
        self._erase = erase
        self._pace = pace
        self._name_error = name_error
        self._cancelled = asyncio.Event()
        self._reason: Outcome | None = None
        self._progress = 0.0

    def stop(self, reason: Outcome) -> None:
        """Have the work given up; the first reason counts, but for a job to be put back."""
        if self._reason in (None, Outcome.PUT_BACK):
            self._reason = reason
        self._cancelled.set()

    async def run(self) -> Outcome:
        """Work until the end, whatever it is, and write it down.

        The database may be away for any time.
        """
        noting = asyncio.create_task(self._note_progress())
        try:
            outcome = await self._work()
        finally:
            noting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await noting
        return await self._end(outcome)

    async def _work(self) -> Result | Exception | None:
        """Give the result, what went wrong, or None when the work was given up."""
        work = asyncio.ensure_future(self._separate(self.claim.job, self._report, self._cancelled))
        stopped = asyncio.create_task(self._cancelled.wait())
        try:
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await asyncio.wait((work,), timeout=self._pace.give_up)
        finally:
            stopped.cancel()
            work.cancel()  # without effect when it is done
            await asyncio.wait((work,))
        if work.cancelled():
            return None
        error = work.exception()
        if error is None:
            return work.result()
        if isinstance(error, Exception):
            return None if self._reason else error
        raise error

    def _report(self, progress: float) -> None:
        self._progress = max(self._progress, progress)

    async def _note_progress(self) -> None:
        noted = 0.0
        while True:
            await asyncio.sleep(self._pace.progress)
            if self._progress > noted and self._reason is None:
                with contextlib.suppress(DatabaseUnavailableError):
                    if not await self._claims.progress(self.claim, self._progress):
                        self.stop(Outcome.LOST)
                    noted = self._progress

    async def _end(self, outcome: Result | Exception | None) -> Outcome:
        if isinstance(outcome, Result):
            held = await self._insist(lambda: self._claims.publish(self.claim, outcome))
            return Outcome.SUCCEEDED if held else await self._let_go()
        if isinstance(outcome, Exception):
            return await self._end_with(outcome)
        if self._reason is Outcome.PUT_BACK and await self._insist(lambda: self._claims.requeue(self.claim)):
            return Outcome.PUT_BACK
        return await self._let_go()

    async def _end_with(self, error: Exception) -> Outcome:
        logger.info("separation failed", extra={"job_id": str(self.claim.job.id)}, exc_info=error)
        if isinstance(error, SpleeterError) and not isinstance(error, _TRIED_AGAIN):
            return await self._fail(Failure(self._name_error(error), _storable(error)), died=False)
        crashes = self.claim.job.crashes + 1
        if not await self._insist(lambda: self._claims.too_many_crashes(self.claim)):
            delay = self._pace.retry * crashes
            held = await self._insist(lambda: self._claims.requeue(self.claim, died=True, delay=delay))
            return Outcome.RETRIED if held else await self._let_go()
        died = isinstance(error, InferenceCrashedError)
        return await self._fail(crash_failure(crashes) if died else _INTERNAL, died=True)

    async def _fail(self, failure: Failure, *, died: bool) -> Outcome:
        held = await self._insist(lambda: self._claims.fail(self.claim, failure, died=died))
        return Outcome.FAILED if held else await self._let_go()

    async def abandon(self) -> Outcome:
        """End the job after something went wrong that nobody expected."""
        return await self._fail(_INTERNAL, died=False)

    async def _let_go(self) -> Outcome:
        """Give up a job that is not held any more, and see that nothing is left of a deleted one."""
        if await self._insist(lambda: self._claims.release(self.claim)):
            return Outcome.CANCELLED
        if await self._insist(lambda: self._claims.is_gone(self.claim)):
            await self._clean()
            return Outcome.CANCELLED
        return Outcome.LOST

    async def _clean(self) -> None:
        try:
            await self._erase(self.claim.job.prefix)
        except Exception:
            logger.exception("objects are left over", extra={"job_id": str(self.claim.job.id)})

    async def _insist(self, change: Callable[[], Awaitable[T]]) -> T:
        """Make a change, as soon as the database is there."""
        while True:
            try:
                return await change()
            except DatabaseUnavailableError:
                logger.warning("waiting for the database", extra={"job_id": str(self.claim.job.id)})
                await asyncio.sleep(self._pace.reconnect)


_TRIED_AGAIN = (InferenceCrashedError, InferenceUnavailableError, StorageUnavailableError)


def _storable(error: Exception) -> str:
    return str(error).replace("\0", "�")  # PostgreSQL's text has no NUL


_INTERNAL = Failure(
    "internal-error",
    "The separation failed repeatedly, for a reason within the service. Try again later; if it stays so, "
    "tell the operator the job's number.",
)
