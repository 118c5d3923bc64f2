"""The disks that the service watches.

``bootstrap.shared`` does without this module, which imports ``metrics``: it is imported before the folder of
shared metrics is known.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from spleeter_microservice.jobs.disk_space import DiskSpace
from spleeter_microservice.settings import Settings


def disk_space(settings: Settings, **others: Path | None) -> DiskSpace:
    """Return the space of the folders that songs pass through, of the log if it is a file, and of others."""
    folders = {name: settings.data_dir.absolute() / name for name in ("metrics", "spool", "work")}
    log = {"logs": 2} if stat.S_ISREG(os.fstat(2).st_mode) else {}
    floor = None if settings.min_free_mb is None else settings.min_free_mb << 20
    return DiskSpace(folders | log | {name: place for name, place in others.items() if place}, floor)
