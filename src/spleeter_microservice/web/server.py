"""Uvicorn's protocol, with limits on headers, and its settings."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, ClassVar
from uuid import uuid4

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spleeter_microservice.errors import HeadersTooLargeError, MalformedRequestError, RequestError
from spleeter_microservice.observability.logs import Seldom
from spleeter_microservice.observability.metrics import CONNECTIONS_CLOSED
from spleeter_microservice.processes.descriptors import most_connections
from spleeter_microservice.web.problem_handler import problem_response

HEADER_BYTES = 64 << 10
"""Maximum size of the request line and headers, in bytes."""
HEADER_FIELDS = 100
"""Most headers of a request; each takes time in every step of its handling."""
HEADER_SECONDS = 15.0
"""Seconds within which they must arrive; a silent new connection is closed after the same time."""

_PART_NEW = 8  # an eighth of the connections
_AROUND_HEADER = 4  # bytes: colon, space, carriage return and line feed
_LOG_SECONDS = 60.0  # between lines about connections that were too many

logger = structlog.get_logger(__name__)


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with limits on connections, and on the size and duration of headers.

    When a process holds as many connections as it may, a new one replaces another, so that clients without
    a key cannot shut out the others. Uvicorn's ``limit_concurrency`` would refuse every new request instead.

    Chunk extensions and trailers are limited in the same way. Trailers are dropped, because Uvicorn
    would take them for headers.
    """

    _open: ClassVar[dict[BoundedProtocol, None]] = {}  # ordered by the time of their latest requests
    _may_log: ClassVar[Seldom] = Seldom(_LOG_SECONDS)

    _header_bytes = 0  # of the request line and the headers that are complete
    _header_fields = 0
    _idle_bytes = 0  # since the last byte of a body or the end of the headers
    _in_headers = True
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start to wait for a request, in the place of another connection if there are too many."""
        super().connection_made(transport)
        self._expect_headers()
        if len(self._open) > most_connections():
            self._make_room()

    def _make_room(self) -> None:
        """Close the oldest connection without a key, or else the oldest idle one, or else the newest.

        Requests of the newest ones may still be on the way or being checked, so idle ones go before them.
        """
        known = len(self._open) - max(1, len(self._open) // _PART_NEW)
        idle = (one for one in self._open if one._has_key() and one.cycle.response_complete)
        closed = next((one for one in islice(self._open, known) if not one._has_key()), None)
        closed = closed or next(idle, None) or next(one for one in self._open if not one._has_key())
        reason = "too-many" if closed is self or closed._has_key() else "no-key"
        del self._open[closed]
        # A stranger that does not read its response would hold a connection that is closed in order.
        (closed.transport.close if closed._has_key() else closed.transport.abort)()
        CONNECTIONS_CLOSED.labels(reason).inc()
        if self._may_log():
            logger.warning("too many connections", reason=reason, open=len(self._open), client=closed.client)

    def _has_key(self) -> bool:
        """Return whether the latest request has a valid key; one that was answered before its end has not."""
        state = self.scope["state"] if self.scope is not None else {}
        return "principal" in state and "lingers" not in state

    def _time_out(self) -> None:
        CONNECTIONS_CLOSED.labels("silent").inc()
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Receive bytes; refuse headers and trailers without end."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > HEADER_BYTES and not self.transport.is_closing():
            if self._in_headers:
                self._refuse(_too_large())
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot read, or what a callback below has refused."""
        if self._too_many_headers():
            self._refuse(_too_large())
        else:
            self._refuse(MalformedRequestError("The request is not valid HTTP. Check the client."))

    def _refuse(self, error: RequestError) -> None:
        request_id = uuid4().hex
        response = problem_response({"path": "", "state": {"request_id": request_id}}, error)
        status = HTTPStatus(response.status_code)
        logger.info("request refused", status=status.value, problem=error.code, request_id=request_id)
        headers = [*response.raw_headers, (b"connection", b"close"), (b"x-request-id", request_id.encode())]
        head = [f"HTTP/1.1 {status} {status.phrase}".encode(), *(b": ".join(header) for header in headers)]
        self.transport.write(b"\r\n".join([*head, b"", response.body]))
        self.transport.close()

    def on_message_begin(self) -> None:
        """Start to receive a request line and headers."""
        super().on_message_begin()
        self._header_bytes = self._header_fields = 0
        if not self._in_headers:  # otherwise they have been expected since the connection was made
            self._expect_headers()

    def on_url(self, url: bytes) -> None:
        """Receive part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header; drop a trailer, and cookies, which nothing uses but the framework would parse."""
        if self._in_headers:
            self._header_fields += 1
            self._count(len(name) + len(value) + _AROUND_HEADER)
            if name.lower() != b"cookie":
                super().on_header(name, value)

    def _count(self, size: int) -> None:
        """Count bytes of headers, which may arrive at once with the body."""
        self._header_bytes += size
        if self._too_many_headers():
            raise _too_large()  # the parser stops, and ``send_400_response`` is called

    def _too_many_headers(self) -> bool:
        return self._header_bytes > HEADER_BYTES or self._header_fields > HEADER_FIELDS

    def on_headers_complete(self) -> None:
        """Start to receive the body."""
        self._in_headers, self._idle_bytes = False, 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive part of the body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Receive the end of the body."""
        self._idle_bytes = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        self._open.pop(self, None)
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._stop_timer()
        self._open.pop(self, None)
        self._open[self] = None
        self._in_headers, self._idle_bytes = True, 0
        self._timer = self.loop.call_later(HEADER_SECONDS, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _too_large() -> HeadersTooLargeError:
    return HeadersTooLargeError(
        f"The request line and headers exceed {HEADER_BYTES >> 10} KiB, or {HEADER_FIELDS} headers. "
        "Send fewer or shorter headers."
    )


UVICORN_OPTIONS: Mapping[str, Any] = {
    "http": BoundedProtocol,
    "ws": "none",
    "lifespan": "on",
    "server_header": False,
    "access_log": False,  # ``request_log`` does this
    "log_config": None,
    "proxy_headers": False,  # ``Proxies`` does this
}
"""Settings for ``uvicorn.Config`` or ``CONFIG_KWARGS`` of a Gunicorn worker, but ``timeout_keep_alive``."""
