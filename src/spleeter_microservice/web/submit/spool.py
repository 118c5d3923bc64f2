"""The spool: uploads on disk until they are checked and stored.

The process that receives a file holds a lock on it. The kernel drops the lock even if the process is
killed, which distinguishes leftovers from files in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from filelock import lock_descriptor

from spleeter_microservice.errors import RequestTooLargeError
from spleeter_microservice.files import needing_space

_SUFFIX = ".upload"
_BLOCK_BYTES = 1 << 20
_NO_SPACE = "No space is left for uploads. Free some on the disk of spool."


class SpooledFile:
    """A file being received.

    Attributes:
        path: path of the file; its name is random.
        size: bytes received so far.

    Args:
        path: path of the file.
        descriptor: file descriptor open for writing.
        max_bytes: maximum size in bytes.
    """

    def __init__(self, path: Path, descriptor: int, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._pending = bytearray()

    async def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            RequestTooLargeError: if the file exceeds its maximum size.
            DiskFullError: if the disk is full.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise RequestTooLargeError(f"The file is larger than the limit of {self._max_bytes} bytes.")
        self._pending += data
        if len(self._pending) >= _BLOCK_BYTES:
            await self.finish()

    async def finish(self) -> None:
        """Write the buffered bytes."""
        pending, self._pending = self._pending, bytearray()
        await asyncio.to_thread(self._write, pending)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the written bytes, in hexadecimal."""
        return self._digest.hexdigest()

    def _write(self, block: bytearray) -> None:
        self._digest.update(block)
        with needing_space(_NO_SPACE), memoryview(block) as rest:
            written = 0
            while written < len(rest):
                written += os.write(self._descriptor, rest[written:])


@asynccontextmanager
async def spooled(folder: Path, max_bytes: int) -> AsyncIterator[SpooledFile]:
    """Yield a new file and remove it at the end."""
    path, descriptor = _create(folder)
    try:
        yield SpooledFile(path, descriptor, max_bytes)
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _create(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{uuid4().hex}{_SUFFIX}"
        with needing_space(_NO_SPACE):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        lock_descriptor(descriptor)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # removed as a leftover before it was locked


def remove_leftovers(folder: Path) -> int:
    """Remove the files of killed processes and return their number; files in use stay."""
    return sum(_remove_unowned(path) for path in folder.glob(f"*{_SUFFIX}"))


def _remove_unowned(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if lock_descriptor(file.fileno(), blocking=False):
            path.unlink()
            return True
    return False
