"""How large requests' bodies may be, and how slow, as ASGI middleware.

A body that is refused before its end leaves a client in the middle of sending. Its answer closes
the connection, but not at once: what still comes is taken and dropped for a while, because a
connection closed on unread bytes is reset, and the client would never see the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spleeter_microservice.errors import (
    MalformedRequestError,
    RequestError,
    RequestTooLargeError,
    RequestTooSlowError,
)
from spleeter_microservice.web.problem_handler import problem_response

_SMALL = 1 << 16  # bytes; what has arrived already is taken before answering, and the connection kept
_SMALL_SECONDS = 0.05

UPLOADS = frozenset({"/v1/separations", "/separate"})
"""Paths that take files, as multipart forms."""


@dataclass(frozen=True)
class BodyLimits:
    """Of requests' bodies.

    Attributes:
        upload: bytes of a form with a file.
        other: bytes of every other body.
        timeout: seconds that nothing may arrive.
        rate: bytes that must arrive per second, on average and beyond ``timeout``.
        linger: seconds for which the rest of a refused body is taken.
    """

    upload: int
    other: int
    timeout: float = 20.0
    rate: float = 4096.0
    linger: float = 5.0

    def largest(self, scope: Scope) -> int:
        """Give the bytes that a request's body may have."""
        form = Headers(scope=scope).get("Content-Type", "").lower().startswith("multipart/form-data")
        return self.upload if form and scope["path"] in UPLOADS else self.other


class BodyLimitMiddleware:
    """BodyLimits the bodies of requests.

    Args:
        app: the application around which it lies.
        limits: that are kept.
    """

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self.app = app
        self._bounds = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(scope, receive, self._bounds)
        answer = _Answer(body, send, self._bounds.linger)
        error = body.problem()
        app = self.app if error is None else problem_response(scope, error)
        await app(scope, body.receive, answer.send)


class _Body:
    """A body on its way in."""

    def __init__(self, scope: Scope, receive: Receive, limits: BodyLimits) -> None:
        headers = Headers(scope=scope)
        self._length = headers.get("Content-Length", "0")
        self._awaits_leave = "Expect" in headers
        self._receive = receive
        self._bounds = limits
        self._largest = limits.largest(scope)
        self._received = 0
        self._waited = 0.0
        self.complete = self._length == "0" and "Transfer-Encoding" not in headers

    def problem(self) -> RequestError | None:
        """Say what is wrong with the announced length."""
        if not (self._length.isascii() and self._length.isdecimal()):
            return MalformedRequestError("Content-Length must be a number.")
        return self._too_large() if self._announced > self._largest else None

    @property
    def _announced(self) -> int:
        return int(self._length[:20])

    @property
    def small(self) -> bool:
        """Whether all of it is likely to have arrived with the headers."""
        return 0 < self._announced <= _SMALL and not self._awaits_leave

    async def receive(self) -> Message:
        """Give the next message; after the body's end, wait for the client to go, however long."""
        if self.complete:
            return await self._receive()
        message = await self._receive_in_time()
        self._received += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self._received > self._largest:
            raise self._too_large()
        return message

    async def _receive_in_time(self) -> Message:
        limits, started = self._bounds, time.monotonic()
        left = limits.timeout + self._received / limits.rate - self._waited
        try:
            async with asyncio.timeout(min(limits.timeout, left)):
                return await self._receive()
        except TimeoutError:
            raise RequestTooSlowError(
                "The rest of the request did not arrive in time. Send it again, over a better connection."
            ) from None
        finally:
            self._waited += time.monotonic() - started

    async def drop(self, seconds: float) -> bool:
        """Take what still comes within some seconds, and drop it; tell whether that was all."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._drop()
        return self.complete

    async def _drop(self) -> None:
        while not self.complete:
            message = await self._receive()
            self.complete = not message.get("more_body", False)

    def _too_large(self) -> RequestTooLargeError:
        return RequestTooLargeError(f"The request has more than {self._largest} bytes, which is the limit.")


class _Answer:
    """An answer on its way out, whose end waits for the end of a refused body."""

    def __init__(self, body: _Body, send: Send, linger: float) -> None:
        self._body = body
        self._send = send
        self._linger = linger

    async def send(self, message: Message) -> None:
        """Send a message."""
        if self._body.complete:
            await self._send(message)
        elif message["type"] == "http.response.start":
            if not await self._body.drop(_SMALL_SECONDS if self._body.small else 0):
                MutableHeaders(scope=message)["Connection"] = "close"
            await self._send(message)
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._body.drop(self._linger)
            self._body.complete = True
            await self._send({"type": "http.response.body"})
