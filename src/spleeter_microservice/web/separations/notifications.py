"""A hub that distributes the database's notifications about jobs to the event streams of this process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Annotated, Self, cast
from uuid import UUID

import structlog
from fastapi import Depends, Request

from spleeter_microservice.jobs.notifications import JobNotifications, Notice

logger = structlog.get_logger(__name__)

_CAPACITY = 16
"""Notices queued for a busy subscriber; if there are more, it reads the database instead."""
_QUERIES = 4
"""Subscribers that read the database at a time: when it comes back, all of them would at once."""


class Subscription:
    """The notices about one job for one subscriber.

    Attributes:
        notices: queue of notices. None means "read the database": notices are missing from before the
            subscription, from an outage of the database, or because the queue was full.
    """

    def __init__(self) -> None:
        self.notices: asyncio.Queue[Notice | None] = asyncio.Queue(_CAPACITY)
        self.look_again()

    def look_again(self) -> None:
        """Make the subscriber read the database, which replaces all queued notices."""
        while not self.notices.empty():
            self.notices.get_nowait()
        self.notices.put_nowait(None)

    def put(self, notice: Notice) -> None:
        """Queue a notice."""
        try:
            self.notices.put_nowait(notice)
        except asyncio.QueueFull:
            self.look_again()


class NotificationHub:
    """A hub that listens to the database over one connection for all subscribers in this process.

    Args:
        url: URL of the database.
        pause: seconds between attempts to connect.
        poll: seconds between queries of each subscriber behind a pooler.

    Attributes:
        closed: whether subscribers should stop, because no more notices will come.
        querying: semaphore that a subscriber holds while it reads its job from the database.
    """

    def __init__(self, url: str, pause: float = 1.0, poll: float = 2.0) -> None:
        self._listener = JobNotifications(url, self._distribute, pause, poll)
        self._subscriptions: dict[UUID, set[Subscription]] = {}
        self.pause = pause
        self.closed = False
        self.querying = asyncio.Semaphore(_QUERIES)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen; close at the end, or as soon as a signal stops the server."""
        listening = asyncio.create_task(self._listen())
        try:
            with _before_shutdown(self.close):
                yield self
        finally:
            self.close()
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def _listen(self) -> None:
        while True:
            try:
                await self._listener.run()
            except Exception:
                logger.exception("listening to the database failed; retrying")
            await asyncio.sleep(self.pause)

    @contextmanager
    def follow(self, job: UUID) -> Iterator[Subscription]:
        """Subscribe to a job."""
        subscription = Subscription()
        subscriptions = self._subscriptions.setdefault(job, set())
        subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            subscriptions.remove(subscription)
            if not subscriptions:
                del self._subscriptions[job]

    def close(self) -> None:
        """Make all subscribers stop."""
        self.closed = True
        self._distribute(None)

    def _distribute(self, notice: Notice | None) -> None:
        if notice is None:
            for subscription in itertools.chain(*self._subscriptions.values()):
                subscription.look_again()
        else:
            for subscription in self._subscriptions.get(notice.job, ()):
                subscription.put(notice)


@contextmanager
def _before_shutdown(close: Callable[[], None]) -> Iterator[None]:
    """Call ``close`` when a signal stops the server, which then waits for all responses to end.

    The server ends the application's lifespan only after that, which would be too late to end event streams.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    earlier = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(close)
        cast(Callable[[int, FrameType | None], None], earlier[signal.Signals(number)])(number, frame)

    caught = [number for number, handler in earlier.items() if callable(handler)]
    for number in caught:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in caught:
            if signal.getsignal(number) is handle:
                signal.signal(number, earlier[number])


async def hub_of(request: Request) -> NotificationHub:
    """Return the hub that the application's lifespan started; async to avoid a thread."""
    return cast(NotificationHub, request.app.state.notification_hub)


HubDep = Annotated[NotificationHub, Depends(hub_of)]
"""A route's parameter: the hub of notifications."""
