"""A folder for what jobs need on the way, for one process at a time, always empty at first."""

from __future__ import annotations

import fcntl
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_work_folder(parent: Path) -> Iterator[Path]:
    """Give a folder that no other live process has, emptied, and remove it at the end.

    What killed processes left in others is removed, too.

    Args:
        parent: of the folders; made when it is not there.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        with (parent / f"{number}.lock").open("w") as lock:
            if _locked(lock.fileno()):
                _remove_abandoned(parent, after=number)
                folder = parent / str(number)
                empty(folder)
                try:
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                return


def empty(folder: Path) -> None:
    """Have an empty folder, whatever was in it.

    A folder that is there stays: processes that are confined to it know no other of its name.
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
            with path.open("w") as lock:
                if _locked(lock.fileno()):
                    shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def _locked(descriptor: int) -> bool:
    """Take a lock that the process's death, however it comes, releases."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
