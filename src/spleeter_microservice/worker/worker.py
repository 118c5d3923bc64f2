"""A worker: slots that do jobs, a heartbeat, and a watch over other workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import DatabaseUnavailableError
from spleeter_microservice.jobs.claims import Claim, Claims, HeldJob
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.jobs.notifications import DELETED, JobNotifications, Notice
from spleeter_microservice.jobs.retention import Erase, Retention
from spleeter_microservice.observability.tracing import Span, span
from spleeter_microservice.worker.attempt import (
    Attempt,
    AttemptTimings,
    ErrorNames,
    Outcome,
    Separate,
    class_name,
)

logger = logging.getLogger(__name__)

Observe = Callable[[Job, Outcome, float], None]
"""HubDep of the end of every attempt, with the seconds that it took."""


def worker_name(pid: int) -> str:
    """Name the worker that is a process of this machine."""
    return f"{socket.gethostname()}:{pid}"


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works; all times in seconds.

    Attributes:
        slots: jobs at a time.
        name: like no other's.
        heartbeat: between signs of life.
        silence: a worker without a sign of life for so long is dead; its jobs start again at
            most ``heartbeat`` later. More than ``heartbeat`` and the database's timeout together.
        poll: between looks into the queue, should a notification get lost.
        grace: for running jobs when the worker is told to stop.
        stderr_tail: after that, for putting jobs back while the database is away.
        sweep: between sweeps of what has been kept long enough.
        pace: of the attempts.
        name_error: names what jobs fail with.
    """

    slots: int = 1
    name: str = field(default_factory=lambda: worker_name(os.getpid()))
    heartbeat: float = 2.0
    silence: float = 6.0
    poll: float = 5.0
    grace: float = 30.0
    stderr_tail: float = 10.0
    sweep: float = 60.0
    pace: AttemptTimings = field(default_factory=AttemptTimings)
    name_error: ErrorNames = class_name


class Worker:
    """Does jobs until it is told to stop.

    Args:
        database: open; it may be away at any time, also at the start.
        separate: does the work.
        erase: erases objects.
        options: how.
        observe: told of every attempt.
    """

    def __init__(
        self,
        database: Database,
        separate: Separate,
        erase: Erase,
        options: WorkerOptions | None = None,
        observe: Observe = lambda job, ending, seconds: None,
    ) -> None:
        self.options = options or WorkerOptions()
        self._claims = Claims(database)
        self._retention = Retention(database, erase)
        self._listener = JobNotifications(database.url, self._hear)
        self._separate = separate
        self._erase = erase
        self._observe = observe
        self._attempts: dict[UUID, Attempt] = {}
        self._unknown: set[HeldJob] = set()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._news = asyncio.Event()
        self._number: int | None = None
        self._in_touch_since = self._last_sign = time.monotonic()

    @property
    def running(self) -> int:
        """How many jobs are being worked on."""
        return len(self._attempts)

    @property
    def connected(self) -> bool:
        """Whether the database has heard of this worker of late."""
        return self._number is not None and time.monotonic() - self._last_sign < self.options.silence

    @property
    def number(self) -> int | None:
        """The number that the database knows this worker by, as long as it does."""
        return self._number

    def stop(self) -> None:
        """Claim nothing more; finish what runs within the grace period, and put back the rest.

        Called a second time, put it back at once.
        """
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()
        self._news.set()

    async def run(self) -> None:
        """Work until ``stop``."""
        duties = [self._beat(), self._listener.run(), self._sweep()]
        aside = [asyncio.create_task(duty) for duty in duties]
        slots = [asyncio.create_task(self._slot()) for _ in range(self.options.slots)]
        try:
            await _first_failure([*aside, *slots], until=self._stopping)
            await self._drain(slots)
        finally:
            for task in (*aside, *slots):
                task.cancel()
            await asyncio.gather(*aside, *slots, return_exceptions=True)
            await self._leave()

    async def run_until_signalled(self) -> None:
        """Work until SIGTERM or SIGINT; a second one hastens."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            await self.run()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def _slot(self) -> None:
        while not self._stopping.is_set():
            claim = await self._claim()
            if claim:
                await self._attempt(claim)
            else:
                await self._wait_for_news()

    async def _claim(self) -> Claim | None:
        if self._number is None:
            return None
        try:
            return await self._claims.claim(self._number)
        except DatabaseUnavailableError:  # after the commit, perhaps: see _put_back_unknown
            return None

    async def _attempt(self, claim: Claim) -> None:
        with structlog.contextvars.bound_contextvars(**_described(claim)), _span(claim) as told:
            ending = await self._work(claim)
            told.note({"spleeter.ending": ending.value})
            if ending is Outcome.FAILED:
                told.fail(ending.value)

    async def _work(self, claim: Claim) -> Outcome:
        options = self.options
        attempt = Attempt(claim, self._claims, self._separate, self._erase, options.pace, options.name_error)
        self._attempts[claim.job.id] = attempt
        start = time.monotonic()
        try:
            ending = await attempt.run()
        except Exception:
            logger.exception("an attempt went wrong", extra=_described(claim))
            ending = await attempt.abandon()
        finally:
            del self._attempts[claim.job.id]
        seconds = time.monotonic() - start
        logger.info("job ended", extra=_described(claim) | {"ending": ending.value, "seconds": seconds})
        self._observe(claim.job, ending, seconds)
        return ending

    async def _wait_for_news(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), self.options.poll)
        if not self._stopping.is_set():
            self._news.clear()

    def _hear(self, notice: Notice | None) -> None:
        if notice is None or notice.state == State.QUEUED:
            self._news.set()
        elif notice.state in (State.CANCELLED, DELETED) and notice.job in self._attempts:
            self._attempts[notice.job].stop(Outcome.CANCELLED)

    async def _beat(self) -> None:
        """Give signs of life, hear which jobs are still held, and watch over other workers."""
        while True:
            try:
                await self._give_sign()
                self._note_sign()
                if self._last_sign - self._in_touch_since > self.options.silence:
                    await self._take_over()
            except DatabaseUnavailableError as error:
                logger.warning("the database is away: %s", error)
            await asyncio.sleep(self.options.heartbeat)

    def _note_sign(self) -> None:
        """After a silence of our own, give others time for their signs: they may have had one, too."""
        now = time.monotonic()
        if now - self._last_sign > self.options.silence / 2:
            self._in_touch_since = now
        self._last_sign = now

    async def _give_sign(self) -> None:
        if self._number is None:
            self._number = await self._claims.register(self.options.name, self.options.slots)
            self._news.set()
            return
        attempts = dict(self._attempts)
        held = await self._claims.beat(self._number)
        if held is None:
            logger.warning("taken for dead by another worker: starting afresh")
            self._number, held = None, []
        running = {one.job: one.fence for one in held if one.running}
        for job, attempt in attempts.items():
            if running.get(job) != attempt.claim.fence:
                attempt.stop(Outcome.LOST)
        await self._put_back_unknown({one for one in held if one.job not in self._attempts})

    async def _put_back_unknown(self, unknown: set[HeldJob]) -> None:
        """Put back what was claimed by an answer that never came; a late one finds its fence moved.

        Only what was unknown at the last sign of life too: claims are under way all the time.
        """
        for held in unknown & self._unknown:
            if await self._claims.put_back(held):
                logger.warning("a claim was lost and put back", extra={"job_id": str(held.job)})
        self._unknown = unknown

    async def _take_over(self) -> None:
        for takeover in await self._claims.take_over(self.options.silence):
            logger.warning(
                "a worker died", extra={"job_id": str(takeover.job.id), "job_failed": takeover.failed}
            )

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailableError):
                await self._retention.sweep()
            await asyncio.sleep(self.options.sweep)

    async def _drain(self, slots: list[asyncio.Task[None]]) -> None:
        logger.info("stopping", extra={"running": self.running})
        hurrying = asyncio.create_task(self._hurrying.wait())
        finished = asyncio.gather(*slots, return_exceptions=True)
        await asyncio.wait(
            (hurrying, finished), timeout=self.options.grace, return_when=asyncio.FIRST_COMPLETED
        )
        hurrying.cancel()
        for attempt in self._attempts.values():
            attempt.stop(Outcome.PUT_BACK)
        await asyncio.wait(slots, timeout=self.options.pace.give_up + self.options.stderr_tail)

    async def _leave(self) -> None:
        """Sign off; a worker that cannot is taken for dead after a while, to the same effect."""
        if self._number is not None:
            with contextlib.suppress(DatabaseUnavailableError):
                await self._claims.unregister(self._number)
        self._number = None


async def _first_failure(tasks: list[asyncio.Task[None]], until: asyncio.Event) -> None:
    """Wait for an event, or raise what one of the tasks raises before it."""
    waiting = asyncio.create_task(until.wait())
    done, _ = await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in done:
        task.result()


def _described(claim: Claim) -> dict[str, str | int | None]:
    job = claim.job
    return {
        "job_id": str(job.id),
        "tenant": job.tenant,
        "request_id": job.request_id,
        "attempt": job.attempts,
    }


def _span(claim: Claim) -> AbstractContextManager[Span]:
    job = claim.job
    about = {
        "spleeter.job_id": str(job.id),
        "spleeter.request_id": job.request_id,
        "spleeter.attempt": job.attempts,
        "spleeter.result_version": job.result_version,
        "spleeter.audio_seconds": job.audio_seconds,
    }
    return span("separation", "consumer", about, job.traceparent)
