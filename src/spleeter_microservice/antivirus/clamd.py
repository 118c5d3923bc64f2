"""A client of ClamAV's daemon: its commands PING and INSTREAM (clamd(8))."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from spleeter_microservice.errors import ConfigurationError

DEFAULT_PORT = 3310

_CHUNK = 1 << 17  # bytes sent at a time; below every sensible StreamMaxLength
_LONGEST_REPLY = 4096


class ClamdError(Exception):
    """The daemon cannot be reached, broke off, or said what it should not."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait: for a connection, for the daemon to take or send the next bytes, for its verdict."""

    connect: float = 5
    transfer: float = 30
    verdict: float = 300


@dataclass(frozen=True)
class Clamd:
    """Where a daemon listens.

    Attributes:
        host, port: for TCP.
        path: of a Unix socket; then host and port mean nothing.
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
            ConfigurationError: when it is none of these.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORT
        except ValueError:
            raise _bad_url(url) from None
        bare = not (parts.query or parts.fragment or parts.username or parts.password)
        if parts.scheme == "tcp" and parts.hostname and parts.path in ("", "/") and bare:
            return cls(host=parts.hostname, port=port, timeouts=timeouts)
        if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1 and bare:
            return cls(path=parts.path, timeouts=timeouts)
        raise _bad_url(url)

    def __str__(self) -> str:
        """Name it in messages."""
        return self.path or f"{self.host}:{self.port}"

    async def ping(self) -> None:
        """Go on only if the daemon answers.

        Raises:
            ClamdError: when it does not.
        """
        async with self._connection() as connection:
            await connection.send(b"zPING\0")
            reply = await connection.reply(self.timeouts.transfer)
        if reply != "PONG":
            raise ClamdError(f"clamd at {self} answered {reply!r} to PING")

    async def instream(self, chunks: AsyncIterator[bytes]) -> str:
        """Send a stream and give what the daemon says of it, ``stream: OK`` or the like.

        Memory does not depend on the stream's length. The stream is not read to its end when
        the daemon replies earlier. Errors of ``chunks`` go through as they are.

        Raises:
            ClamdError: when the daemon gives no reply.
        """
        async with self._connection() as connection:
            await connection.send(b"zINSTREAM\0")
            if await _send_all(connection, chunks):
                await connection.send(struct.pack(">I", 0))
            return await connection.reply(self.timeouts.verdict)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        try:
            async with asyncio.timeout(self.timeouts.connect):
                connected = await self._connect()
        except TimeoutError as error:
            raise ClamdError(f"clamd at {self} cannot be reached: no connection in time") from error
        except OSError as error:
            raise ClamdError(f"clamd at {self} cannot be reached: {error.strerror or error}") from error
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
    """One conversation, on a bare socket.

    On asyncio's streams a reply is lost when writing fails first, and clamd replies to a
    stream that is too long and hangs up while it is being sent.
    """

    def __init__(self, connected: socket.socket, name: str, timeouts: float) -> None:
        self._socket = connected
        self._name = name
        self._patience = timeouts
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes | memoryview) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._loop.sock_sendall(self._socket, data)
        except TimeoutError as error:
            raise ClamdError(f"clamd at {self._name} takes nothing any more") from error
        except OSError as error:
            raise _BrokenOffError(f"clamd at {self._name} broke off: {error.strerror or error}") from error

    async def reply(self, timeouts: float) -> str:
        received = b""
        try:
            async with asyncio.timeout(timeouts):
                while not received.endswith(b"\0") and len(received) <= _LONGEST_REPLY:
                    data = await self._loop.sock_recv(self._socket, _LONGEST_REPLY)
                    if not data:
                        break
                    received += data
        except TimeoutError as error:
            raise ClamdError(f"clamd at {self._name} did not reply within {timeouts:g} s") from error
        except OSError as error:
            raise ClamdError(f"clamd at {self._name} broke off: {error.strerror or error}") from error
        if not received.endswith(b"\0"):
            raise ClamdError(f"clamd at {self._name} broke off in its reply")
        return received.rstrip(b"\0").decode("utf-8", "replace").strip()


class _BrokenOffError(ClamdError):
    """The daemon hung up while something was sent to it; it may have replied before."""


async def _send_all(connection: _Connection, chunks: AsyncIterator[bytes]) -> bool:
    """Send a stream in chunks, each after its length; tell whether all of it was taken."""
    async for data in chunks:
        view = memoryview(data)
        for begin in range(0, len(view), _CHUNK):
            part = view[begin : begin + _CHUNK]
            try:
                await connection.send(struct.pack(">I", len(part)))
                await connection.send(part)
            except _BrokenOffError:
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


def _bad_url(url: str) -> ConfigurationError:
    return ConfigurationError(
        f"{url!r} is no address of clamd. Set SPLEETER_CLAMD_URL to tcp://host:3310 or unix:///path."
    )
