"""Virus scans by ClamAV's daemon: the commands PING and INSTREAM (clamd(8))."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from spleeter_microservice.antivirus.scan import infected, unavailable
from spleeter_microservice.errors import ConfigurationError, ScanLimitError

DEFAULT_PORT = 3310

_CHUNK = 1 << 17  # bytes; below every sensible StreamMaxLength
_LONGEST_REPLY = 4096
_CLEAN = "stream: OK"
_FOUND_BEGIN, _FOUND_END = "stream: ", " FOUND"
_TOO_LONG = "INSTREAM size limit exceeded"
# clamd's name for a file beyond its limits if AlertExceedsMax is on; otherwise it calls it clean.
_TOO_MUCH = "Heuristics.Limits.Exceeded"


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait for a connection, for the next bytes in either direction, and for the verdict.

    During the wait for a verdict, the daemon is asked every ``alive`` seconds whether it is still there.
    """

    connect: float = 5
    transfer: float = 30
    verdict: float = 300
    alive: float = 10


@dataclass(frozen=True)
class Clamd:
    """A daemon as a ``Scanner``. Errors of the chunks are passed on.

    Attributes:
        host, port: TCP address.
        path: path of a Unix socket, which replaces host and port.
        timeouts: how long to wait.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    timeouts: Timeouts = Timeouts()

    @classmethod
    def from_url(cls, url: str, timeouts: Timeouts = Timeouts()) -> Clamd:
        """Read ``tcp://host``, ``tcp://host:port`` or ``unix:///path``.

        Raises:
            ConfigurationError: if it is none of these.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORT
        except ValueError:
            raise _bad_url() from None
        bare = not (parts.query or parts.fragment or parts.username or parts.password)
        if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/") and bare:
            return cls(host=parts.hostname, port=port, timeouts=timeouts)
        if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1 and bare:
            return cls(path=parts.path, timeouts=timeouts)
        raise _bad_url()

    def __str__(self) -> str:
        """Return its name for messages."""
        return self.path or f"{self.host}:{self.port}"

    async def ping(self) -> None:
        """See ``Scanner``."""
        async with self._connection() as connection:
            await connection.send(b"zPING\0")
            reply = await connection.reply(self.timeouts.alive)
        if reply != "PONG":
            raise unavailable(f"clamd at {self} replied {reply!r} to PING")

    async def scan(self, chunks: AsyncIterator[bytes]) -> None:
        """See ``Scanner``."""
        reply = await self._reply(chunks)
        if reply == _CLEAN:
            return
        if reply.startswith(_TOO_LONG):
            raise _beyond("StreamMaxLength")
        if not (reply.startswith(_FOUND_BEGIN) and reply.endswith(_FOUND_END)):
            raise unavailable(f"clamd replied {reply[:200]!r}")
        signature = reply[len(_FOUND_BEGIN) : -len(_FOUND_END)]
        if signature.startswith(_TOO_MUCH):
            raise _beyond(signature.rpartition(".")[2])
        raise infected(signature)

    async def _reply(self, chunks: AsyncIterator[bytes]) -> str:
        """Send a stream and return the daemon's reply.

        Memory does not depend on the stream's length. The stream is not read to its end if the daemon
        replies earlier.
        """
        async with self._connection() as connection:
            await connection.send(b"zINSTREAM\0")
            if await _send_all(connection, chunks):
                await connection.send(struct.pack(">I", 0))
            verdict = asyncio.ensure_future(connection.reply(self.timeouts.verdict))
            try:
                while not (await asyncio.wait({verdict}, timeout=self.timeouts.alive))[0]:
                    await self.ping()  # it answers while it scans, however long that takes
                return await verdict
            finally:
                verdict.cancel()
                await asyncio.wait({verdict})  # the event loop must not watch a socket that is closed

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            async with asyncio.timeout(self.timeouts.connect):
                connected = await self._connect()
        except TimeoutError as error:
            raise unavailable(f"clamd at {self} cannot be reached: no connection in time") from error
        except OSError as error:
            raise unavailable(f"clamd at {self} cannot be reached: {error.strerror or error}") from error
        with connected:
            yield _Connection(connected, str(self), self.timeouts.transfer)

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        if self.path:
            return await _connected(socket.AF_UNIX, self.path)
        found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        failure: OSError = OSError("the name has no address")
        for family, *_, address in found:
            try:
                return await _connected(family, address)
            except OSError as error:
                failure = error
        raise failure


class _Connection:
    """A connection on a plain socket.

    asyncio's streams lose a reply if writing fails first, and clamd replies and closes the connection
    while a stream that is too long is still being sent.
    """

    def __init__(self, connected: socket.socket, name: str, timeout: float) -> None:
        self._socket = connected
        self._name = name
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes | memoryview) -> bool:
        """Send bytes; return False if the daemon closed the connection, before which it may have replied."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._loop.sock_sendall(self._socket, data)
        except TimeoutError as error:
            raise unavailable(f"clamd at {self._name} stopped reading") from error
        except OSError:
            return False
        return True

    async def reply(self, timeout: float) -> str:
        received = b""
        try:
            async with asyncio.timeout(timeout):
                while not received.endswith(b"\0") and len(received) <= _LONGEST_REPLY:
                    data = await self._loop.sock_recv(self._socket, _LONGEST_REPLY)
                    if not data:
                        break
                    received += data
        except TimeoutError as error:
            raise unavailable(f"clamd at {self._name} did not reply within {timeout:g} s") from error
        except OSError as error:
            reason = error.strerror or error
            raise unavailable(f"clamd at {self._name} closed the connection: {reason}") from error
        if not received.endswith(b"\0"):
            raise unavailable(f"clamd at {self._name} closed the connection in mid-reply")
        return received.rstrip(b"\0").decode("utf-8", "replace").strip()


async def _send_all(connection: _Connection, chunks: AsyncIterator[bytes]) -> bool:
    """Send a stream in chunks, each preceded by its length; return whether all of it was sent."""
    async for data in chunks:
        view = memoryview(data)
        for begin in range(0, len(view), _CHUNK):
            part = view[begin : begin + _CHUNK]
            if not (await connection.send(struct.pack(">I", len(part))) and await connection.send(part)):
                return False
    return True


async def _connected(family: int, address: object) -> socket.socket:
    connecting = socket.socket(family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, address)  # type: ignore[arg-type]
    except BaseException:
        connecting.close()
        raise
    return connecting


def _bad_url() -> ConfigurationError:
    return ConfigurationError("The address of clamd must be tcp://host:3310 or unix:///path.")


def _beyond(limit: str) -> ScanLimitError:
    return ScanLimitError(
        f"The file exceeds a limit of the virus scanner ({limit}). Send a smaller file; operators can raise "
        f"{limit} in clamd.conf."
    )
