"""ASGI middleware that limits the size and the slowness of request bodies.

A client whose body is refused may still be sending. Its response closes the connection, but not at once: the
rest of the body is received and dropped for a while, because closing a connection with unread bytes resets
it, and the client would never see the response.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spleeter_microservice import errors
from spleeter_microservice.web.middleware.resumable import PART_TYPE, is_resumable
from spleeter_microservice.web.problem_handler import problem_response

_SMALL = 1 << 16  # bytes; such a body is read before the response, and the connection kept
_SMALL_SECONDS = 0.05

UPLOADS = frozenset({"/v1/separations", "/separate"})
"""Paths that accept files, as multipart forms."""


@dataclass(frozen=True)
class BodyLimits:
    """Limits of request bodies.

    Attributes:
        upload: maximum bytes of a form with a file, or of a part of a resumable upload.
        other: maximum bytes of every other body.
        timeout: seconds without a byte after which a request is refused.
        rate: minimum bytes per second, on average and beyond ``timeout``.
        linger: seconds for which the rest of a refused body is received.
    """

    upload: int
    other: int
    timeout: float = 20.0
    rate: float = 4096.0
    linger: float = 5.0

    def largest(self, scope: Scope) -> int:
        """Return the maximum bytes of a request's body."""
        kind = Headers(scope=scope).get("Content-Type", "").lower()
        form = kind.startswith("multipart/form-data") and scope["path"] in UPLOADS
        part = kind == PART_TYPE and is_resumable(scope)
        return self.upload if form or part else self.other


class BodyLimitMiddleware:
    """Middleware that enforces ``BodyLimits``.

    Args:
        app: the application inside.
        limits: limits to enforce.
    """

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self.app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(scope, receive, self._limits)
        response = _Response(body, scope, send, self._limits.linger)
        error = body.problem()
        app = self.app if error is None else problem_response(scope, error)
        await app(scope, body.receive, response.send)


class _Body:
    """A request body that is being received."""

    def __init__(self, scope: Scope, receive: Receive, limits: BodyLimits) -> None:
        headers = Headers(scope=scope)
        self._length = headers.get("Content-Length", "0")
        self._expects_continue = "Expect" in headers
        self._receive = receive
        self._limits = limits
        self._largest = limits.largest(scope)
        self._received = 0
        self._waited = 0.0
        self.complete = self._length == "0" and "Transfer-Encoding" not in headers

    def problem(self) -> errors.RequestError | None:
        """Return what is wrong with the announced length, if anything."""
        if not (self._length.isascii() and self._length.isdecimal()):
            return errors.MalformedRequestError(
                "Content-Length is not a number. Send the body's length in bytes."
            )
        return self._too_large() if self._announced > self._largest else None

    @property
    def _announced(self) -> int:
        return int(self._length[:20])

    @property
    def small(self) -> bool:
        """Whether the whole body has probably arrived with the headers."""
        return 0 < self._announced <= _SMALL and not self._expects_continue

    async def receive(self) -> Message:
        """Receive the next message; after the body's end, wait for the client to disconnect."""
        if self.complete:
            return await self._receive()
        message = await self._receive_in_time()
        self._received += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self._received > self._largest:
            raise self._too_large()
        return message

    async def _receive_in_time(self) -> Message:
        limits, started = self._limits, time.monotonic()
        left = limits.timeout + self._received / limits.rate - self._waited
        try:
            async with asyncio.timeout(min(limits.timeout, left)):
                return await self._receive()
        except TimeoutError:
            raise errors.RequestTooSlowError(
                "The rest of the request did not arrive in time. Send it again over a faster connection."
            ) from None
        finally:
            self._waited += time.monotonic() - started

    async def drop(self, seconds: float) -> bool:
        """Receive and drop the rest of the body for some seconds; return whether it is complete."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._drop()
        return self.complete

    async def _drop(self) -> None:
        while not self.complete:
            message = await self._receive()
            self.complete = not message.get("more_body", False)

    def _too_large(self) -> errors.RequestTooLargeError:
        return errors.RequestTooLargeError(f"The request is larger than the limit of {self._largest} bytes.")


class _Response:
    """A response that is held open until the end of a refused body."""

    def __init__(self, body: _Body, scope: Scope, send: Send, linger: float) -> None:
        self._body = body
        self._scope = scope
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
            self._scope.setdefault("state", {})["lingers"] = True
            await self._body.drop(self._linger)
            self._body.complete = True
            await self._send({"type": "http.response.body"})
