"""A worker: slots that run jobs, a heartbeat, and takeover of crashed workers' jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog
from opentelemetry.trace import Span, SpanKind, StatusCode

from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import DatabaseUnavailableError
from spleeter_microservice.jobs.chores import regularly
from spleeter_microservice.jobs.claims import Claim, Claims, HeldJob
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.jobs.notifications import DELETED, JobNotifications, Notice
from spleeter_microservice.jobs.retention import Erase, Retention
from spleeter_microservice.observability.tracing import span
from spleeter_microservice.worker.attempt import (
    Attempt,
    AttemptTimings,
    Outcome,
    Separate,
)

logger = logging.getLogger(__name__)

Recovery = Callable[[], Awaitable[None] | None]
"""Called after each attempt; returns what to await before the slot takes another job, or None.

Until then, the worker is not ready.
"""
Observe = Callable[[Job, Outcome, float], None]
"""Called at the end of every attempt with the job, its outcome and the seconds that it took."""


def worker_name(pid: int) -> str:
    """Return the name of the worker that runs as a process of this machine."""
    return f"{socket.gethostname()}:{pid}"


@dataclass(frozen=True)
class WorkerOptions:
    """Options of a worker; all times are in seconds.

    Attributes:
        slots: number of jobs to run at once.
        name: unique name of the worker.
        heartbeat: time between heartbeats.
        silence: time without a heartbeat after which a worker counts as crashed; its jobs restart at
            most ``heartbeat`` later. Must exceed ``heartbeat`` plus the database's timeout.
        poll: time between checks of the queue, in case a notification is lost.
        grace: time that running jobs get to finish when the worker stops.
        release_timeout: further time for stopping the rest, and for requeueing it while the database is
            unavailable.
        sweep: time between sweeps of expired and deleted jobs.
        timings: timings of an attempt.
    """

    slots: int = 1
    name: str = field(default_factory=lambda: worker_name(os.getpid()))
    heartbeat: float = 2.0
    silence: float = 6.0
    poll: float = 5.0
    grace: float = 30.0
    release_timeout: float = 15.0
    sweep: float = 60.0
    timings: AttemptTimings = field(default_factory=AttemptTimings)


class Worker:
    """A worker that runs jobs until it is stopped.

    Args:
        database: an open database, which may be unavailable at any time, even at the start.
        separate: function that separates a job's song.
        erase: function that erases objects.
        options: options of the worker.
        observe: called at the end of every attempt.
        retention: eraser of expired and deleted jobs; None for one that records nothing.
        recovery: called after every attempt, for slots that need a pause.

    Attributes:
        number: the worker's number in the database while it is registered.
    """

    def __init__(
        self,
        database: Database,
        separate: Separate,
        erase: Erase,
        options: WorkerOptions | None = None,
        observe: Observe = lambda job, outcome, seconds: None,
        retention: Retention | None = None,
        recovery: Recovery = lambda: None,
    ) -> None:
        self.options = options or WorkerOptions()
        self._claims = Claims(database)
        self._retention = retention or Retention(database, erase)
        self._notifications = JobNotifications(database.direct_url, self._on_notice)
        self._separate = separate
        self._erase = erase
        self._observe = observe
        self._recovery = recovery
        self._recovering = 0
        self._attempts: dict[UUID, Attempt] = {}
        self._unknown: set[HeldJob] = set()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._work_available = asyncio.Event()
        self.number: int | None = None
        self._connected_since = self._last_heartbeat = time.monotonic()

    @property
    def running(self) -> int:
        """The number of running jobs."""
        return len(self._attempts)

    def stop(self) -> None:
        """Stop claiming jobs; finish the running ones within the grace period and requeue the rest.

        A second call requeues them at once.
        """
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        self._work_available.set()

    async def run(self) -> None:
        """Run jobs until ``stop`` is called."""
        sweeping = regularly(self.options.sweep, self._retention.sweep)
        duties = [self._beat(), self._notifications.run(), sweeping]
        background = [asyncio.create_task(duty) for duty in duties]
        slots = [asyncio.create_task(self._slot()) for _ in range(self.options.slots)]
        try:
            await _first_failure([*background, *slots], until=self._stopping)
            await self._drain(slots)
        finally:
            for task in (*background, *slots):
                task.cancel()
            await asyncio.gather(*background, *slots, return_exceptions=True)
            await self._leave()

    async def run_until_signalled(self) -> None:
        """Run jobs until SIGTERM or SIGINT; a second signal skips the grace period."""
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
                await self._recover()
            else:
                await self._wait_for_work()

    async def _recover(self) -> None:
        """Wait until the slot can take another job, or until this worker stops."""
        if (recovery := self._recovery()) is not None:
            self._recovering += 1
            recovering = asyncio.ensure_future(recovery)
            try:
                await _first_failure([recovering], until=self._stopping)
            finally:
                recovering.cancel()
                self._recovering -= 1

    async def _claim(self) -> Claim | None:
        if self.number is None:
            return None
        try:
            return await self._claims.claim(self.number)
        except DatabaseUnavailableError:  # perhaps after the commit: see _requeue_unknown
            return None

    async def _attempt(self, claim: Claim) -> None:
        with structlog.contextvars.bound_contextvars(**_described(claim)), _span(claim) as attempt_span:
            outcome, audio_seconds = await self._work(claim)
            attempt_span.set_attribute("spleeter.ending", outcome.value)
            attempt_span.set_attribute("spleeter.audio_seconds", audio_seconds)
            if outcome is Outcome.FAILED:
                attempt_span.set_status(StatusCode.ERROR, outcome.value)

    async def _work(self, claim: Claim) -> tuple[Outcome, float]:
        """Return the outcome, and the seconds of audio."""
        options = self.options
        attempt = Attempt(claim, self._claims, self._separate, self._erase, options.timings)
        self._attempts[claim.job.id] = attempt
        start = time.monotonic()
        try:
            outcome = await attempt.run()
        except Exception:
            logger.exception("unexpected error in an attempt", extra=_described(claim))
            outcome = await attempt.abandon()
        finally:
            del self._attempts[claim.job.id]
        seconds = time.monotonic() - start
        logger.info("job ended", extra=_described(claim) | {"ending": outcome.value, "seconds": seconds})
        self._observe(replace(claim.job, audio_seconds=attempt.audio_seconds), outcome, seconds)
        return outcome, attempt.audio_seconds

    async def _wait_for_work(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.poll):
                await self._work_available.wait()
        if not self._stopping.is_set():
            self._work_available.clear()

    def _on_notice(self, notice: Notice | None) -> None:
        if notice is None or notice.state == State.QUEUED:
            self._work_available.set()
        elif notice.state in (State.CANCELLED, DELETED) and notice.job in self._attempts:
            self._attempts[notice.job].stop(Outcome.CANCELLED)

    async def _beat(self) -> None:
        """Send heartbeats, drop jobs that are no longer held, and take over crashed workers' jobs."""
        while True:
            try:
                await self._send_heartbeat()
                self._note_heartbeat()
                if self._last_heartbeat - self._connected_since > self.options.silence:
                    await self._take_over()
            except DatabaseUnavailableError as error:
                logger.warning("database unavailable: %s", error)
            await asyncio.sleep(self.options.heartbeat)

    def _note_heartbeat(self) -> None:
        """After an outage of our own, give the others time to reconnect: they may have had it too."""
        now = time.monotonic()
        if now - self._last_heartbeat > self.options.silence / 2:
            self._connected_since = now
        self._last_heartbeat = now

    async def _send_heartbeat(self) -> None:
        if self.number is None:
            self.number = await self._claims.register(self.options.name, self.options.slots)
            self._work_available.set()
            return
        attempts = dict(self._attempts)
        held = await self._claims.beat(self.number, ready=not self._recovering)
        if held is None:
            logger.warning("declared dead by another worker; registering again")
            self.number, held = None, []
        running = {one.job: one.fence for one in held if one.running}
        for job, attempt in attempts.items():
            if running.get(job) != attempt.claim.job.fence:
                attempt.stop(Outcome.LOST)
        await self._requeue_unknown({one for one in held if one.job not in self._attempts})

    async def _requeue_unknown(self, unknown: set[HeldJob]) -> None:
        """Requeue jobs whose claim was committed but never reached this worker.

        Only jobs that were unknown at the last heartbeat too: a claim may be under way. If its response
        arrives late after all, the job's fence has moved.
        """
        for held in unknown & self._unknown:
            if await self._claims.requeue_unknown(held):
                logger.warning("lost claim requeued", extra={"job_id": str(held.job)})
        self._unknown = unknown

    async def _take_over(self) -> None:
        for takeover in await self._claims.take_over(self.options.silence):
            logger.warning(
                "job of a crashed worker taken over",
                extra={"job_id": str(takeover.job.id), "job_failed": takeover.failed},
            )

    async def _drain(self, slots: list[asyncio.Task[None]]) -> None:
        logger.info("stopping", extra={"running": self.running})
        hurry = asyncio.create_task(self._hurry.wait())
        finished = asyncio.gather(*slots, return_exceptions=True)
        await asyncio.wait((hurry, finished), timeout=self.options.grace, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for attempt in self._attempts.values():
            attempt.stop(Outcome.REQUEUED)
        await asyncio.wait(slots, timeout=self.options.release_timeout)

    async def _leave(self) -> None:
        """Unregister; a worker that cannot is declared dead later, to the same effect."""
        if self.number is not None:
            with contextlib.suppress(DatabaseUnavailableError):
                await self._claims.unregister(self.number)
        self.number = None


async def _first_failure(tasks: Sequence[asyncio.Future[None]], until: asyncio.Event) -> None:
    """Wait for an event, or raise the first error that one of the tasks raises before it."""
    waiting: asyncio.Future[Any] = asyncio.create_task(until.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
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
    return span("separation", SpanKind.CONSUMER, about, job.traceparent)
