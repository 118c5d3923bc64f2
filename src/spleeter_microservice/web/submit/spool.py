"""Where uploads lie until they are checked and stored.

A file's owner holds a lock on it, which ends with the owner however that ends, so that what a
killed process left is told from what another one is receiving now.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from spleeter_microservice.errors import DiskFullError, RequestTooLargeError

_SUFFIX = ".upload"
_BLOCK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class SpooledFile:
    """A file that is being received.

    Attributes:
        path: where it lies; its name tells nothing about it.
        size: in bytes, so far.

    Args:
        path: as above.
        descriptor: open for writing.
        max_bytes: that it may have.
    """

    def __init__(self, path: Path, descriptor: int, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._pending = bytearray()

    async def write(self, data: bytes) -> None:
        """Take more bytes.

        Raises:
            RequestTooLargeError: as soon as there are too many.
            DiskFullError: when there is no room for them.
        """
        self.size += len(data)
        if self.size > self._max_bytes:
            raise RequestTooLargeError(f"The file has more than {self._max_bytes} bytes, which is the limit.")
        self._pending += data
        if len(self._pending) >= _BLOCK_BYTES:
            await self.finish()

    async def finish(self) -> None:
        """Write what is not yet written."""
        pending, self._pending = self._pending, bytearray()
        await asyncio.to_thread(self._write, pending)

    @property
    def sha256(self) -> str:
        """Hash of what is written, in hexadecimal."""
        return self._digest.hexdigest()

    def _write(self, block: bytearray) -> None:
        self._digest.update(block)
        try:
            with memoryview(block) as rest:
                written = 0
                while written < len(rest):
                    written += os.write(self._descriptor, rest[written:])
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFullError("There is no space left in the folder for uploads.") from error
            raise


@asynccontextmanager
async def spooled(folder: Path, max_bytes: int) -> AsyncIterator[SpooledFile]:
    """Give a new file, which is gone in the end."""
    path, descriptor = _create(folder)
    try:
        yield SpooledFile(path, descriptor, max_bytes)
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _create(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{uuid4().hex}{_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # taken for a leftover before it was locked


def remove_leftovers(folder: Path) -> int:
    """Remove files whose owner is dead and tell how many; a file that is in use stays."""
    return sum(_remove_unowned(path) for path in folder.glob(f"*{_SUFFIX}"))


def _remove_unowned(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False
