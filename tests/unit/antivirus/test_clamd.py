"""No file passes because of a reply that is not understood."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spleeter_microservice.antivirus.clamd import Clamd
from spleeter_microservice.errors import (
    ConfigurationError,
    InfectedError,
    ScanLimitError,
    ScannerUnavailableError,
)

pytestmark = pytest.mark.asyncio


async def music() -> AsyncIterator[bytes]:
    yield b"music"


@contextlib.asynccontextmanager
async def replying(reply: bytes) -> AsyncIterator[Clamd]:
    """Run a server that replies with some bytes, whatever it is sent, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            command = await reader.readuntil(b"\0")
            if command == b"zINSTREAM\0":
                await reader.read(100)
            writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Clamd("127.0.0.1", port)


@given(reply=st.binary(max_size=60))
@example(b"")
@example(b"\0")
@example(b"OK\0")
@example(b"stream: OK")
@example(b"stream: OKAY\0")
@example(b"stream: OK\n\0stream")
@example(b"HTTP/1.1 400 Bad Request\r\n\r\n")
@example(b"stream: Can't allocate memory ERROR\0")
@example(b"UNKNOWN COMMAND\0")
@example(b"x" * 100_000)
@settings(max_examples=60, deadline=None)
async def test_a_garbled_reply_is_never_a_verdict(reply: bytes) -> None:
    async with replying(reply) as scanner:
        with pytest.raises(ScannerUnavailableError):
            await scanner.scan(music())


async def test_a_clean_file_is_accepted() -> None:
    async with replying(b"stream: OK\0") as scanner:
        await scanner.scan(music())


@pytest.mark.parametrize("signature", ["Win.Test.EICAR_HDB-1", "OK", ""])
async def test_the_virus_is_named(signature: str) -> None:
    async with replying(f"stream: {signature} FOUND\0".encode()) as scanner:
        with pytest.raises(InfectedError) as caught:
            await scanner.scan(music())
    assert caught.value.signature == signature


@pytest.mark.parametrize(
    "reply",
    [b"INSTREAM size limit exceeded. ERROR\0", b"stream: Heuristics.Limits.Exceeded.MaxScanSize FOUND\0"],
)
async def test_exceeding_the_scanner_s_limits_is_an_error_of_its_own(reply: bytes) -> None:
    async with replying(reply) as scanner:
        with pytest.raises(ScanLimitError, match=r"StreamMaxLength|MaxScanSize"):
            await scanner.scan(music())


async def test_another_server_at_the_address_is_not_taken_for_a_scanner() -> None:
    async with replying(b"220 mail.example ESMTP\0") as scanner:
        with pytest.raises(ScannerUnavailableError, match="replied"):
            await scanner.ping()


@pytest.mark.parametrize(
    ("url", "clamd"),
    [
        ("tcp://scanner", Clamd("scanner", 3310)),
        ("tcp://scanner:1234", Clamd("scanner", 1234)),
        ("tcp://[::1]:1234/", Clamd("::1", 1234)),
        ("unix:///run/clamav/clamd.ctl", Clamd(path="/run/clamav/clamd.ctl")),
    ],
)
async def test_addresses_are_read(url: str, clamd: Clamd) -> None:
    assert Clamd.from_url(url) == clamd


@pytest.mark.parametrize(
    "url",
    ["", "scanner", "scanner:3310", "http://scanner", "tcp://", "tcp://h:99999", "tcp://h/path"],
)
async def test_other_tcp_addresses_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigurationError, match="tcp://host:3310"):
        Clamd.from_url(url)


@pytest.mark.parametrize(
    "url",
    ["unix://", "unix://run/clamd", "unix:///", "tcp://user@h", "tcp://h?x", "tcp://[::1"],
)
async def test_other_addresses_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigurationError, match="tcp://host:3310"):
        Clamd.from_url(url)
