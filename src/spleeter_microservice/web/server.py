"""Uvicorn's protocol, with limits on headers, and its settings."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 64 << 10
"""Maximum size of the request line and headers, in bytes."""
HEADER_SECONDS = 15.0
"""Seconds within which they must arrive; a silent new connection is closed after the same time."""

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with limits on the size and duration of headers, which it lacks.

    Chunk extensions and trailers are limited in the same way. Trailers are dropped, because Uvicorn
    would take them for headers.
    """

    _idle_bytes = 0  # since the last byte of a body or the end of the headers
    _in_headers = True
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start to wait for a request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Receive bytes; refuse headers and trailers without end."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > HEADER_BYTES and not self.transport.is_closing():
            if self._in_headers:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Start to receive a request line and headers."""
        super().on_message_begin()
        if not self._in_headers:  # otherwise they have been expected since the connection was made
            self._expect_headers()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header; drop a trailer."""
        if self._in_headers:
            super().on_header(name, value)

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
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._stop_timer()
        self._in_headers, self._idle_bytes = True, 0
        self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


UVICORN_OPTIONS: Mapping[str, Any] = {
    "http": BoundedProtocol,
    "ws": "none",
    "lifespan": "on",
    "server_header": False,
    "access_log": False,  # ``request_log`` does this
    "log_config": None,
    "timeout_keep_alive": 30,  # seconds; longer than clients wait between polls
}
"""Settings for ``uvicorn.Config`` or ``CONFIG_KWARGS`` of a Gunicorn worker."""
