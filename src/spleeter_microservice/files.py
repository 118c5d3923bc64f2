"""Files that are replaced atomically, and locks between processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_atomically(path: Path, *, flush: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside a file; rename it to the file when the block succeeds.

    If the block raises, the temporary file is removed and the old file stays.

    Args:
        path: file to create or replace.
        flush: whether to flush the new file to the disk before it is renamed, and its directory after that.

    Raises:
        OSError: if the file cannot be renamed.
    """
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        yield temporary
        if flush:
            flush_to_disk(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if flush:
        flush_to_disk(path.parent)


def flush_to_disk(path: Path) -> None:
    """Flush a file's contents, or a directory's list of names, to the disk.

    Raises:
        OSError: if it cannot be opened or flushed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a lock file, which is created if missing.

    The kernel drops the lock even if the process is killed.

    Args:
        path: lock file.
        wait: whether to wait for another process that holds the lock.

    Raises:
        BlockingIOError: if another process holds the lock, and ``wait`` is false.
        OSError: if the lock file cannot be created.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
