"""What the system tells about processes: who started whom, and how much memory they have."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """A process; its number alone could be another's one day, with the time of its start it cannot.

    Attributes:
        pid: its number.
        started: in the system's ticks.
    """

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.started and fields[0] not in ("Z", "X")


def process(pid: int) -> Process | None:
    """Give a process that runs now."""
    fields = _stat(pid)
    return None if fields is None else Process(pid, int(fields[19]))


def children(pid: int) -> list[Process]:
    """Give the processes that a process started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdecimal() else None
        if fields and int(fields[1]) == pid and fields[0] not in ("Z", "X"):
            found.append(Process(int(entry.name), int(fields[19])))
    return found


def memory(pid: int) -> int:
    """Tell how many bytes a process has resident; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    _, found, rest = status.partition("VmRSS:")
    return int(rest.split()[0]) * 1024 if found else 0


def processor_seconds(pid: int) -> float:
    """Tell how much processor time a process has taken; 0 when it has ended."""
    fields = _stat(pid)
    return 0.0 if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS


def _stat(pid: int) -> list[str] | None:
    """Give the fields of proc(5)'s ``stat`` from the state on: they are counted from behind the name."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
