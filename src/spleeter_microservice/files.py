"""Files that are replaced atomically, and disks that are full."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from spleeter_microservice.errors import DiskFullError

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""Numbers of the errors by which a system says that no more can be written."""


@contextmanager
def needing_space(message: str) -> Iterator[None]:
    """Raise ``DiskFullError`` with a message if the system says that no more can be written."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFullError(message) from error
        raise


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
    temporary = temporary_path(path)
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


def temporary_path(path: Path) -> Path:
    """Return a hidden path beside a file; its length does not depend on that of the file's name."""
    return path.parent / f".{secrets.token_hex(8)}.part"


def is_temporary(name: str) -> bool:
    """Return whether a file's name is one of ``temporary_path``."""
    return re.fullmatch(r"\.[0-9a-f]{16}\.part", name) is not None


def lock(path: Path) -> BinaryIO | None:
    """Lock a file until the result is closed; return None if another process has locked it.

    On Windows, None is returned as well. It removes no open file, and renames none.

    Raises:
        OSError: if the file cannot be opened.
    """
    try:
        import fcntl  # noqa: PLC0415  (which Windows lacks)
    except ImportError:
        return None
    file = os.fdopen(os.open(path, os.O_RDWR), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files of processes that were killed; those that are being written are locked."""
    with suppress(OSError):
        for path in [each for each in folder.iterdir() if is_temporary(each.name)]:
            with suppress(OSError):
                held = lock(path)
                if held or os.name == "nt":
                    path.unlink()
                if held:
                    held.close()


def real_path(path: Path) -> Path:
    """Return the absolute path that links lead to; ``Path.resolve`` fails for loops before Python 3.13."""
    return Path(os.path.realpath(path))


def flush_to_disk(path: Path) -> None:
    """Flush a file's contents, or a directory's list of names, to the disk.

    Raises:
        OSError: if it cannot be opened or flushed.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open it, and needs no flush
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
