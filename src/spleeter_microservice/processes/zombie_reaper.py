"""Reaping of processes that the first process of a container inherits.

When a process exits before its children, the first process becomes their parent. Unless it waits for them,
they stay in the process table as zombies for as long as the container runs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path


class ZombieReaper:
    """Waits for exited children that no other code waits for.

    Args:
        timeout: seconds that a zombie is left to other code, which may need its exit status.
    """

    def __init__(self, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._zombies: dict[int, float] = {}

    def reap(self) -> None:
        """Find zombies, and reap those that have existed for longer than the timeout."""
        now = time.monotonic()
        self._zombies = {pid: self._zombies.get(pid, now) for pid in _zombie_children()}
        for pid, since in self._zombies.items():
            if now - since >= self._timeout:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _zombie_children() -> Iterator[int]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process has just been reaped
            # The process's name, in brackets, may itself contain brackets and spaces.
            state, parent = file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                yield int(file.parent.name)
