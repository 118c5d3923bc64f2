"""Files that are replaced atomically."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""Numbers of the errors by which a system says that no more can be written."""


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
