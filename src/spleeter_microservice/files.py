"""Files that are replaced atomically, and locks between processes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside a file; rename it to the file when the block succeeds.

    If the block raises, the temporary file is removed and the old file stays.

    Raises:
        OSError: if the file cannot be renamed.
    """
    temporary = path.with_name(f".{path.name[:200]}.part")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a lock file, waiting for the process that holds it.

    The kernel drops the lock even if the process is killed.

    Raises:
        OSError: if the lock file cannot be created.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
