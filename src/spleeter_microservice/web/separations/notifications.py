"""What the database tells about jobs, handed on to everyone in this process who follows one."""

from __future__ import annotations

import asyncio
import contextlib
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
"""NotificationHub that are kept for a follower who is busy; beyond that, it is to look everything up."""
_LOOKERS = 4
"""Followers who look up at a time: when the database comes back, all of them would at once."""


class Subscription:
    """What is told about one job.

    Attributes:
        notices: of the job. None stands for "look it up": what happened before following began,
            while the database was away, or was too much to keep is not told.
    """

    def __init__(self) -> None:
        self.notices: asyncio.Queue[Notice | None] = asyncio.Queue(_CAPACITY)
        self.look_again()

    def look_again(self) -> None:
        """Have the follower look up the job, which makes all earlier notices needless."""
        while not self.notices.empty():
            self.notices.get_nowait()
        self.notices.put_nowait(None)

    def tell(self, notice: Notice) -> None:
        """Hand on a notice."""
        try:
            self.notices.put_nowait(notice)
        except asyncio.QueueFull:
            self.look_again()


class NotificationHub:
    """Listens to the database over one connection for all followers in this process.

    Args:
        url: of the database.
        pause: seconds between attempts to connect.

    Attributes:
        closed: nothing more is told; who follows should stop.
        looking: to be held while a follower looks up its job.
    """

    def __init__(self, url: str, pause: float = 1.0) -> None:
        self._listener = JobNotifications(url, self._spread, pause)
        self._followings: dict[UUID, set[Subscription]] = {}
        self.pause = pause
        self.closed = False
        self.looking = asyncio.Semaphore(_LOOKERS)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen; stop at the end, or as soon as the server is told to stop."""
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
                logger.exception("listening to the database failed, and begins anew")
            await asyncio.sleep(self.pause)

    @contextmanager
    def follow(self, job: UUID) -> Iterator[Subscription]:
        """Follow a job."""
        following = Subscription()
        followings = self._followings.setdefault(job, set())
        followings.add(following)
        try:
            yield following
        finally:
            followings.remove(following)
            if not followings:
                del self._followings[job]

    def close(self) -> None:
        """Have all followers stop."""
        self.closed = True
        self._spread(None)

    def _spread(self, notice: Notice | None) -> None:
        if notice is None:
            for following in [one for some in self._followings.values() for one in some]:
                following.look_again()
        else:
            for following in self._followings.get(notice.job, ()):
                following.tell(notice)


@contextmanager
def _before_shutdown(close: Callable[[], None]) -> Iterator[None]:
    """Call ``close`` when a signal stops the server, which then waits for all answers to end.

    The end of the application's lifespan, which it announces only after that, would be too late
    for answers that end when they are told to.
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


async def notices_of(request: Request) -> NotificationHub:
    """Give what the application's lifespan started; as ``services_of``, not in another thread."""
    return cast(NotificationHub, request.app.state.notices)


HubDep = Annotated[NotificationHub, Depends(notices_of)]
"""A route's parameter that is given the notices."""
