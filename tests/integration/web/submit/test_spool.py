"""Spooled uploads are counted, hashed and removed, even after a kill."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spleeter_microservice.errors import DiskFullError, RequestTooLargeError
from spleeter_microservice.web.submit.spool import SpooledFile, remove_leftovers, spooled

pytestmark = pytest.mark.asyncio

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from spleeter_microservice.web.submit.spool import spooled

async def main():
    async with spooled(Path(sys.argv[1]), 100) as file:
        await file.write(b"music")
        await file.finish()
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_file_is_written_counted_and_hashed(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    async with spooled(tmp_path, len(content)) as file:
        for start in range(0, len(content), 70_000):
            await file.write(content[start : start + 70_000])
        await file.finish()
        assert file.path.read_bytes() == content
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert file.path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == []


async def test_a_file_beyond_its_limit_is_refused_and_removed(tmp_path: Path) -> None:
    async with spooled(tmp_path, 10) as file:
        await file.write(bytes(10))
        with pytest.raises(RequestTooLargeError):
            await file.write(b"x")
    assert [*tmp_path.iterdir()] == []


async def test_a_full_disk_is_named_and_other_errors_are_not_hidden(tmp_path: Path) -> None:
    if os.path.exists("/dev/full"):  # noqa: PTH110  (a device)
        descriptor = os.open("/dev/full", os.O_WRONLY)
        file = SpooledFile(tmp_path, descriptor, 10)
        await file.write(b"music")
        with pytest.raises(DiskFullError):
            await file.finish()
        os.close(descriptor)
    closed = SpooledFile(tmp_path, os.open(tmp_path, os.O_RDONLY), 10)
    await closed.write(b"music")
    with pytest.raises(OSError) as caught:  # noqa: PT011  (its number is what matters)
        await closed.finish()
    assert caught.value.errno == errno.EBADF


async def test_only_the_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "other").write_bytes(b"")
    async with spooled(tmp_path, 10) as file:
        assert len([*tmp_path.iterdir()]) == 3
        assert remove_leftovers(tmp_path) == 1
        assert {path.name for path in tmp_path.iterdir()} == {"other", file.path.name}
    assert remove_leftovers(tmp_path) == 0
