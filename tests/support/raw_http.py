"""HTTP requests that no client library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Connection:
    """A connection to a server; requests and responses are bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, within: float | None = None) -> tuple[int, dict[str, str], bytes]:
        """Return the next response's status, headers and body."""
        async with asyncio.timeout(within):
            status, headers = await self.head()
            return status, headers, await self.body(headers)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return the next response's status and headers."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        return int(head[0].split()[1]), dict(line.lower().split(": ", 1) for line in head[1:] if line)

    async def body(self, headers: Mapping[str, str]) -> bytes:
        """Return the body that belongs to these headers."""
        return await self._reader.readexactly(int(headers.get("content-length", 0)))

    async def is_closed(self, within: float | None = None) -> bool:
        """Wait for the server to close the connection."""
        async with asyncio.timeout(within):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Connection]:
    """Connect to the server of a URL."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def request(line: str, **headers: object) -> bytes:
    """Return a request's line and headers; underscores in names become dashes."""
    fields = {"Host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return "\r\n".join([f"{line} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]).encode(
        "latin-1"
    )
