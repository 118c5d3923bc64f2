"""How Uvicorn is run: bounds on requests' headers, and settings for whoever starts it."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 64 << 10
"""Bytes that a request's line and headers may have."""
HEADER_SECONDS = 15.0
"""Seconds in which they must arrive; a connection that is silent at first is closed as early."""

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, which by itself takes headers of any size, and waits for them for ever."""

    _header_bytes = 0
    _in_headers = True
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and refuse headers that do not end."""
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > HEADER_BYTES and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to take a request's line and headers."""
        super().on_message_begin()
        if not self._in_headers:  # else they have been expected since the connection was made
            self._expect_headers()

    def on_headers_complete(self) -> None:
        """Go on to the body."""
        self._in_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        self._stop_timer()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._stop_timer()
        self._in_headers, self._header_bytes = True, 0
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
    "access_log": False,  # ``request_log`` does
    "log_config": None,
    "timeout_keep_alive": 30,  # seconds; longer than between the polls of a patient client
}
"""For ``uvicorn.Config``, or ``CONFIG_KWARGS`` of a Gunicorn worker; the rest is the operator's."""
