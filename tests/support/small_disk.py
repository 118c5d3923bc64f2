"""A disk that a test can fill and free."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_LOGS = 300_000  # bytes; the output of the tests goes to files, too


@dataclass
class SmallDisk:
    """A folder on a file system of its own, or, where none may be mounted, a limit on the size of files."""

    folder: Path
    mounted: bool

    def fill(self, room: int = 0) -> None:
        """Leave only so many bytes, or let no file of this process and its children have more."""
        if self.mounted:
            usage = os.statvfs(self.folder)
            (self.folder / "filler").write_bytes(bytes(usage.f_bavail * usage.f_frsize - room))
        else:
            self._limit_files(max(room, _LOGS))

    def use_up_inodes(self) -> None:
        """Create files until there can be no more, where a disk could be mounted."""
        if self.mounted:
            with suppress(OSError):
                for number in itertools.count():
                    (self.folder / f"filler{number}").touch()

    def free(self) -> None:
        """Make space again."""
        if self.mounted:
            for filler in self.folder.glob("filler*"):
                filler.unlink()
        else:
            self._limit_files(None)

    def set_read_only(self, read_only: bool) -> None:
        """Remount the file system read-only, or writable again."""
        if self.mounted:
            mode = "ro" if read_only else "rw"
            subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)
        else:  # root could mount it, and would not be stopped by this
            for folder in (self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())):
                folder.chmod(0o500 if read_only else 0o700)

    def files(self) -> list[str]:
        """Return the names of all files, except that which fills the disk."""
        found = [
            path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("filler")
        ]
        return sorted(str(path.relative_to(self.folder)) for path in found)

    @staticmethod
    def _limit_files(limit: int | None) -> None:
        for pid in (os.getpid(), *descendants(os.getpid())):
            # A server under another account keeps what it inherited, a confined process its stricter limit.
            with suppress(PermissionError, ProcessLookupError, ValueError):
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if limit is None else limit, hard))


def descendants(pid: int) -> Iterator[int]:
    """Yield the ids of all processes that a process has started, directly or not."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has just ended
            for child in map(int, path.read_text().split()):
                yield child
                yield from descendants(child)


@contextmanager
def small_disk(folder: Path, megabytes: int, inodes: int = 5000) -> Iterator[SmallDisk]:
    """Mount a small file system in a folder, if this machine permits it."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,nr_inodes={inodes}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    disk = SmallDisk(folder, mounted)
    try:
        yield disk
    finally:
        disk.free()
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
