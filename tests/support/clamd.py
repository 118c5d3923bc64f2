"""A real ClamAV daemon with a signature database of our own."""

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

# In pieces, so that scanners do not take the test suite for a virus.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR" + b"-STANDARD-ANTIVIRUS-" + b"TEST-FILE!$H+H*"
SIGNATURE = "Test.Eicar"
STREAM_LIMIT = 48 << 20  # bytes
FILE_LIMIT = 24 << 20


@dataclass(frozen=True)
class Daemon:
    """A running clamd.

    Attributes:
        pid: of its process.
        unix, tcp: its two addresses.
    """

    pid: int
    unix: str
    tcp: str


def program() -> str:
    """Return the path of clamd."""
    found = shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return found or pytest.fail("clamd is not installed: make components")


def write_database(folder: Path) -> None:
    """Write signatures: EICAR anywhere in a file, as bytes, and as a whole file, by hash."""
    folder.mkdir()
    (folder / "own.ndb").write_text(f"{SIGNATURE}:0:*:{EICAR.hex()}\n")
    whole = hashlib.sha256(EICAR).hexdigest()
    (folder / "own.hsb").write_text(f"{whole}:{len(EICAR)}:{SIGNATURE}.Whole\n")


def _configuration(folder: Path, port: int) -> str:
    return f"""
LocalSocket {folder}/clamd.sock
TCPSocket {port}
TCPAddr 127.0.0.1
DatabaseDirectory {folder}/database
TemporaryDirectory {folder}
Foreground yes
StreamMaxLength {STREAM_LIMIT}
MaxFileSize {FILE_LIMIT}
MaxScanSize {STREAM_LIMIT}
AlertExceedsMax yes
MaxThreads 4
SelfCheck 0
"""


def _answers(path: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(b"zPING\0")
        return connection.recv(16) == b"PONG\0"
    return False


def _wait(process: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        return _answers(path)

    wait_until(ready)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextlib.contextmanager
def running() -> Iterator[Daemon]:
    """Start a daemon in a directory of its own, wait until it answers, and stop it at the end."""
    # Not pytest's folder: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="clamd-") as folder, _running(Path(folder)) as daemon:
        yield daemon


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[Daemon]:
    write_database(folder / "database")
    port = _free_port()
    (folder / "clamd.conf").write_text(_configuration(folder, port))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program(), "--config-file", str(folder / "clamd.conf")],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, folder / "clamd.sock", log)
        yield Daemon(process.pid, f"unix://{folder}/clamd.sock", f"tcp://127.0.0.1:{port}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
