"""ASGI middleware that begins few requests at a time."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

_AT_ONCE = 2  # requests; most of those without a key end in the same pass of the event loop


class RequestTurns:
    """Middleware that begins requests in the order of their arrival, a few in each pass of the event loop.

    An upload takes dozens of passes. If each of hundreds of connections had its request answered in every
    pass, the upload would wait for all of them, however little each takes.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; the lifespan passes through."""
        if scope["type"] == "http":
            loop = asyncio.get_running_loop()
            if not self._waiting:
                loop.call_soon(self._next, loop)
            self._waiting.append(turn := loop.create_future())
            await turn
        await self.app(scope, receive, send)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():  # its request may have been cancelled
                turn.set_result(None)
        if self._waiting:
            loop.call_soon(self._next, loop)
