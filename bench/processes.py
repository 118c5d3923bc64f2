"""Children, memory and processor time of running processes, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A process, identified by its start time too because the system reuses ids.

    Attributes:
        pid: process id.
        started: start time in clock ticks since boot.
    """

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether the process is still running."""
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.started and fields[0] not in ("Z", "X")


def process(pid: int) -> Process | None:
    """Return the running process with this id, or None."""
    fields = _stat(pid)
    return None if fields is None else Process(pid, int(fields[19]))


def children(pid: int) -> list[Process]:
    """Return the running children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdecimal() else None
        if fields and int(fields[1]) == pid and fields[0] not in ("Z", "X"):
            found.append(Process(int(entry.name), int(fields[19])))
    return found


def memory(pid: int) -> int:
    """Return the resident memory of a process in bytes, or 0 if it has exited."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    _, found, rest = status.partition("VmRSS:")
    return int(rest.split()[0]) * 1024 if found else 0


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process in seconds, or 0 if it has exited."""
    fields = _stat(pid)
    return 0.0 if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on, or None. The name before may have spaces."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
