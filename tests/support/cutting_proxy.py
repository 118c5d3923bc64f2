"""A proxy of TCP connections that cuts them after random numbers of bytes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_CHUNK = 1 << 14


class CuttingProxy:
    """A balancer whose connections break.

    Args:
        targets: URLs of the servers, which get the connections in turn.
        cuts: how many connections to cut, each after a random number of bytes of its client.
        between: the fewest and the most such bytes.
        at_cut: called with the number of each cut, from 1, and the URL of the server.

    Attributes:
        cuts: how many connections are still to be cut.
        url: URL of the proxy.
    """

    def __init__(
        self,
        targets: Sequence[str],
        cuts: int,
        between: tuple[int, int],
        at_cut: Callable[[int, str], None] = lambda number, url: None,
    ) -> None:
        self.cuts = cuts
        self.url = ""
        self._all = cuts
        self._targets = list(targets)
        self._between = between
        self._at_cut = at_cut
        self._random = random.Random(1)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[CuttingProxy]:
        """Run the proxy."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._targets.append(target := self._targets.pop(0))
        parts = urlsplit(target)
        try:
            back_reader, back_writer = await asyncio.open_connection(parts.hostname, parts.port)
        except ConnectionError:
            writer.transport.abort()
            return
        asking = asyncio.create_task(self._copy(reader, back_writer, self._random.randint(*self._between)))
        answering = asyncio.create_task(self._copy(back_reader, writer))
        await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done() and asking.result():
            self.cuts -= 1
            self._at_cut(self._all - self.cuts, target)
            writer.transport.abort()
        asking.cancel()
        answering.cancel()
        back_writer.transport.abort()
        writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None = None
    ) -> bool:
        """Copy until the end; return whether the limit was reached while there were connections to cut."""
        copied = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                copied += len(data)
                writer.write(data)
                await writer.drain()
                if limit is not None and copied > limit and self.cuts:
                    return True
        return False
