"""Space on the disks of this machine, and the floor below which no new song is accepted.

The space below the floor is left to songs that have already been accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spleeter_microservice.database.reserve import Reserve
from spleeter_microservice.errors import DiskFullError, StorageUnavailableError
from spleeter_microservice.observability.metrics import DISK_SHORT

_ANSWER_SECONDS = 3.0
_SHARE = 20  # the floor is a twentieth of the disk by default; the floor of inodes always is
_MOST_BYTES, _MOST_INODES = 1 << 30, 1000
_GROWS_LITTLE = {"metrics": 1 << 20, "logs": 1 << 20}  # bytes that are enough


class DiskSpace:
    """The space of some folders.

    Args:
        folders: folders, or descriptors of open files, by their names in metrics and messages.
        floor: bytes below which a disk counts as full; by default a twentieth of the disk, at most 1 GiB.
    """

    def __init__(self, folders: Mapping[str, Path | int] | None = None, floor: int | None = None) -> None:
        self._folders = folders or {}
        self._floor = floor
        self._thread = ThreadPoolExecutor(1, "disk space")

    def check(self) -> None:
        """Measure the space, and set the metrics.

        Raises:
            DiskFullError: if some folder has too little, or too few inodes.
        """
        short = [name for name, place in self._folders.items() if self._is_short(name, place)]
        if short:
            raise DiskFullError(
                f"The disk of {', '.join(short)} has too little space or too few inodes left. Free some, or "
                "lower SPLEETER_MIN_FREE_MB or SPLEETER_RETENTION_HOURS."
            )

    async def checked(self) -> None:
        """Check the space in a thread of its own, which a file system that hangs may block.

        Raises:
            DiskFullError: as for ``check``.
            StorageUnavailableError: if a file system does not answer.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await asyncio.get_running_loop().run_in_executor(self._thread, self.check)
        except TimeoutError as error:
            raise StorageUnavailableError(
                f"A file system does not answer; it has one of the folders of {', '.join(self._folders)}."
            ) from error

    async def watch(self, pause: float = 15.0) -> None:
        """Measure the space for the metrics, again and again."""
        while True:
            with contextlib.suppress(DiskFullError, StorageUnavailableError):
                await self.checked()
            await asyncio.sleep(pause)

    def _is_short(self, name: str, place: Path | int) -> bool:
        try:
            disk = os.statvfs(place)
        except OSError:
            return False  # whatever uses it reports the error
        size, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        floor = min(size // _SHARE, _MOST_BYTES) if self._floor is None else self._floor
        short = (
            # Some file systems do not count their blocks or inodes.
            (size > 0 and free < min(floor, _GROWS_LITTLE.get(name, floor)))
            or disk.f_favail < min(disk.f_files // _SHARE, _MOST_INODES)
            or (isinstance(place, Path) and Reserve(place).spent)
        )
        DISK_SHORT.labels(name).set(short)
        return short
