"""A real clamd finds files clean, infected or too large, or is unavailable."""

import asyncio
import os
import signal
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from spleeter_microservice.antivirus.clamd import Clamd, Timeouts
from spleeter_microservice.errors import InfectedError, ScanLimitError, ScannerUnavailableError
from tests.support import clamd
from tests.support.clamd import EICAR, FILE_LIMIT, STREAM_LIMIT, Daemon

pytestmark = pytest.mark.asyncio

MIB = 1 << 20


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with clamd.running() as running:
        yield running


@pytest.fixture(params=["unix", "tcp"])
def scanner(daemon: Daemon, request: pytest.FixtureRequest) -> Clamd:
    url = {"unix": daemon.unix, "tcp": daemon.tcp}[request.param]
    return Clamd.from_url(url)


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def zeros(mebibytes: int) -> AsyncIterator[bytes]:
    for _ in range(mebibytes):
        yield bytes(MIB)


@pytest.mark.parametrize(
    "parts",
    [(), (b"",), (b"music",), (b"", b"mu", b"", b"sic"), (bytes(MIB), bytes(3))],
    ids=["no part", "an empty part", "one part", "several parts", "a mebibyte"],
)
async def test_a_clean_file_is_reported_clean(scanner: Clamd, parts: tuple[bytes, ...]) -> None:
    await scanner.scan(stream(*parts))


@pytest.mark.parametrize(
    "parts",
    [
        (EICAR,),
        tuple(EICAR[i : i + 1] for i in range(len(EICAR))),
        (b"RIFF" + bytes(1000), EICAR[:9], EICAR[9:], bytes(1000)),
        (bytes((1 << 17) - 30) + EICAR,),  # across the border of two chunks
    ],
    ids=["whole", "bytewise", "embedded", "across chunks"],
)
async def test_a_virus_is_found_however_it_arrives(scanner: Clamd, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(InfectedError, match=r"Test\.Eicar") as caught:
        await scanner.scan(stream(*parts))
    assert caught.value.signature.startswith(clamd.SIGNATURE)


async def test_concurrent_scans_do_not_mix_their_verdicts(scanner: Clamd) -> None:
    streams = [stream(EICAR) if number % 3 == 0 else zeros(1) for number in range(12)]
    scans = (scanner.scan(parts) for parts in streams)
    found = [type(error) for error in await asyncio.gather(*scans, return_exceptions=True)]
    assert found == [InfectedError, type(None), type(None)] * 4


@pytest.mark.parametrize("mebibytes", [STREAM_LIMIT // MIB + 1, 100])
async def test_a_stream_that_is_too_long_is_distinguished_from_a_failure(
    scanner: Clamd, mebibytes: int
) -> None:
    for _ in range(3):  # the daemon hangs up while it is being sent to: the reply must not get lost
        with pytest.raises(ScanLimitError, match="StreamMaxLength"):
            await scanner.scan(zeros(mebibytes))


async def test_a_file_beyond_the_daemon_s_limits_is_not_reported_clean(scanner: Clamd) -> None:
    with pytest.raises(ScanLimitError, match="MaxFileSize"):
        await scanner.scan(zeros(FILE_LIMIT // MIB + 1))


async def test_memory_does_not_grow_with_the_stream(scanner: Clamd) -> None:
    tracemalloc.start()
    try:
        await scanner.scan(zeros(20))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


async def test_the_daemon_s_health_is_reported(scanner: Clamd) -> None:
    await scanner.ping()


async def test_errors_of_the_upload_are_not_blamed_on_the_scanner(scanner: Clamd) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"music"
        raise ConnectionResetError("the caller hung up")

    with pytest.raises(ConnectionResetError, match="the caller hung up"):
        await scanner.scan(broken())
    await scanner.scan(stream(b"music"))


async def test_a_cancelled_scan_leaves_no_connection_open(scanner: Clamd) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"music"
        begun.set()
        await asyncio.Event().wait()

    scan = asyncio.create_task(scanner.scan(endless()))
    await begun.wait()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names of descriptors)
    scan.cancel()
    with pytest.raises(asyncio.CancelledError):
        await scan
    assert len(os.listdir("/proc/self/fd")) == before - 1  # noqa: PTH208


@pytest.mark.parametrize("address", ["unix", "tcp"])
async def test_a_daemon_killed_in_mid_scan_makes_the_scanner_unavailable(address: str) -> None:
    with clamd.running() as daemon:
        url = {"unix": daemon.unix, "tcp": daemon.tcp}[address]
        scanner = Clamd.from_url(url)

        async def interrupted() -> AsyncIterator[bytes]:
            yield bytes(MIB)
            os.kill(daemon.pid, signal.SIGKILL)
            await asyncio.to_thread(os.waitid, os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)
            yield bytes(MIB)

        with pytest.raises(ScannerUnavailableError, match="closed the connection"):
            await scanner.scan(interrupted())
        with pytest.raises(ScannerUnavailableError):
            await scanner.scan(stream(b"music"))
        with pytest.raises(ScannerUnavailableError):
            await scanner.ping()


async def test_a_hanging_daemon_times_out() -> None:
    with clamd.running() as daemon:
        impatient = Timeouts(connect=0.3, transfer=0.3, verdict=300, alive=0.3)
        scanner = Clamd.from_url(daemon.unix, impatient)
        os.kill(daemon.pid, signal.SIGSTOP)
        with pytest.raises(ScannerUnavailableError, match="did not reply within"):
            await scanner.scan(stream(b"music"))
        with pytest.raises(ScannerUnavailableError, match="stopped reading"):
            await scanner.scan(zeros(7))
        os.kill(daemon.pid, signal.SIGCONT)
        await Clamd.from_url(daemon.unix).scan(stream(b"music"))


async def test_a_scanner_that_is_not_running_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for url in (f"unix://{tmp_path}/none", f"tcp://127.0.0.1:{unused.getsockname()[1]}"):
            scanner = Clamd.from_url(url)
            with pytest.raises(ScannerUnavailableError, match="cannot be reached"):
                await scanner.scan(stream(EICAR))
            with pytest.raises(ScannerUnavailableError, match="cannot be reached"):
                await scanner.ping()
