"""A reserve of disk space for the embedded PostgreSQL.

Without space, PostgreSQL cannot even record a download or a deletion, and stops when it needs a new file for
its log. So some files keep space that nothing else can take, and are removed when the disk is full.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from pathlib import Path

logger = logging.getLogger(__name__)

_FILES, _FILE_BYTES = 32, 1 << 20  # enough for tens of thousands of records of the audit log
_FULL_BYTES = 16 << 20  # a file of PostgreSQL's log, which it creates whole


class Reserve:
    """The reserve on the disk of the database.

    Args:
        folder: folder of the database.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "reserve"

    @property
    def spent(self) -> bool:
        """Whether the space was released and could not be reserved again yet."""
        return self._folder.exists() and not any(self._folder.iterdir())

    def keep(self) -> None:
        """Release the space if the disk is full; reserve it if enough is free."""
        disk = os.statvfs(self._folder.parent)
        free, inodes = disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else math.inf
        held = self._folder.exists() and not self.spent
        with contextlib.suppress(OSError):
            if held and (free < _FULL_BYTES or inodes < _FILES):
                logger.error("the disk of the database is full; its reserve is released")
                for file in self._folder.iterdir():
                    file.unlink()
            elif not held and min(free / _FILE_BYTES, inodes) > 2 * _FILES and hasattr(os, "posix_fallocate"):
                self._folder.mkdir(exist_ok=True)
                for number in range(_FILES):
                    with (self._folder / str(number)).open("wb") as new:
                        os.posix_fallocate(new.fileno(), 0, _FILE_BYTES)
