"""What the first process of a container inherits: the children of processes that died before them.

Nobody else waits for these; dead, they would stay in the table of processes for as long as the
container lives.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path


class Orphans:
    """Takes leave of dead children that nobody else waits for.

    Args:
        timeout: seconds after which nobody will, who would have known the child's status.
    """

    def __init__(self, timeout: float = 10.0) -> None:
        self._timeout = timeout
        self._dead: dict[int, float] = {}

    def reap(self) -> None:
        """Look for dead children; those that were dead long enough are let go."""
        now = time.monotonic()
        self._dead = {pid: self._dead.get(pid, now) for pid in _dead_children()}
        for pid, since in self._dead.items():
            if now - since >= self._timeout:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _dead_children() -> Iterator[int]:
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            # The name before the last bracket may hold anything.
            state, parent = place.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                yield int(place.parent.name)
