"""Space on the disks of this machine, and the floor below which no new song is accepted.

What lies below the floor is left to the songs that have been accepted, and to the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from spleeter_microservice.database.reserve import Reserve
from spleeter_microservice.errors import DiskFullError
from spleeter_microservice.observability.metrics import DISK_FREE_BYTES, DISK_SHORT

_SHARE = 20  # the floor is at most this part of a disk unless the operator sets it
_FLOOR_BYTES, _FLOOR_INODES = 1 << 30, 1000
_SMALL = {"metrics": 1 << 20, "logs": 1 << 20}  # bytes; what grows little needs no more


class DiskSpace:
    """The space of some folders, which the metrics tell, too.

    Args:
        folders: folders, or descriptors of open files, by the names that metrics and messages have for them.
        floor: bytes below which a disk counts as full; by default a twentieth of the disk, at most 1 GiB.
    """

    def __init__(self, folders: Mapping[str, Path | int] | None = None, floor: int | None = None) -> None:
        self._folders = folders or {}
        self._floor = floor

    def check(self) -> None:
        """Measure the space.

        Raises:
            DiskFullError: if some folder has too little, or too few inodes.
        """
        short = [name for name, place in self._folders.items() if self._is_short(name, place)]
        if short:
            raise DiskFullError(
                f"The disk of {', '.join(short)} has too little space or too few inodes left. Free some, or "
                "lower SPLEETER_MIN_FREE_MB or SPLEETER_RETENTION_HOURS."
            )

    async def watch(self, pause: float = 15.0) -> None:
        """Measure the space for the metrics, again and again."""
        while True:
            with contextlib.suppress(DiskFullError):
                await asyncio.to_thread(self.check)
            await asyncio.sleep(pause)

    def _is_short(self, name: str, place: Path | int) -> bool:
        disk = os.statvfs(place)
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        floor = min(_FLOOR_BYTES, size // _SHARE) if self._floor is None else self._floor
        # Some file systems do not count their inodes or blocks.
        inodes = bool(disk.f_files) and disk.f_favail < min(_FLOOR_INODES, disk.f_files // _SHARE)
        short = inodes or (bool(size) and free < min(floor, _SMALL.get(name, floor)))
        short = short or (isinstance(place, Path) and Reserve(place).spent)
        DISK_FREE_BYTES.labels(name).set(free)
        DISK_SHORT.labels(name).set(short)
        return short
