"""Work directories: temporary space for jobs, one per process, empty at the start."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def open_work_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty directory that no other running process uses, and remove it at the end.

    The directories of killed processes are removed too.

    Args:
        parent: directory of the work directories; created if missing.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(parent / f"{number}.lock", blocking=False))
            except Timeout:
                continue
            _remove_abandoned(parent, after=number)
            folder = parent / str(number)
            empty(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


def empty(folder: Path) -> None:
    """Create a directory, or empty it if it exists.

    An existing directory is not replaced: processes are confined to it, not to its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _remove_abandoned(parent: Path, after: int) -> None:
    for path in parent.glob("*.lock"):
        if path.stem.isdecimal() and int(path.stem) > after:
            with suppress(Timeout), FileLock(path, blocking=False):
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
