"""HTTP requests that no client library would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
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

    async def answer(self, within: float = 20) -> tuple[int, dict[str, str], bytes]:
        """Return the next response's status, headers and body."""
        async with asyncio.timeout(within):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
            return int(head[0].split()[1]), headers, body

    async def is_closed(self, within: float = 20) -> bool:
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
