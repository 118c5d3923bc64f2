"""Bounds of what a confined process may use, which its parent watches and the kernel enforces."""

from __future__ import annotations

import contextlib
import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice import errors

_PAGE_BYTES = resource.getpagesize()
# A process maps more memory than it uses. Beyond this margin the kernel refuses memory by itself.
_SPARE_BYTES = 512 << 20
_SPARE_SECONDS = 10
_SLOWER = 10  # a step may take this many times as long as the longest one before it


@dataclass(frozen=True)
class Usage:
    """Resources in use: resident memory in bytes, threads, and processor time in seconds."""

    memory: int
    threads: int
    processor: float


class Pace:
    """The pace of a process: how long its current step takes, and how long it may take.

    Args:
        floor: seconds that any step may take.
        usual: seconds that work of this process took before, on this machine.

    Attributes:
        waited: seconds since the last step, without those in which this side did not run either.
    """

    def __init__(self, floor: float, usual: float = 0.0) -> None:
        self.waited = 0.0
        self._floor, self._longest = floor, usual
        self._position: object = None

    def note(self, position: object) -> None:
        """Note how far the process is, which is another step if it differs."""
        if position != self._position:
            self._position, self._longest, self.waited = position, max(self._longest, self.waited), 0.0

    @property
    def is_stalled(self) -> bool:
        """Whether the current step takes longer than expected."""
        return self.waited > max(self._floor, _SLOWER * self._longest)


@dataclass(frozen=True)
class Bounds:
    """What a process may use for a task, and how long it may take.

    Attributes:
        task: what the process does, as the subject of an error message.
        pace: pace of the process, which must not stall.
        memory: resident memory in bytes.
        seconds: time for the task.
        processor: processor time for the task, in seconds.
        threads: number of threads.
    """

    task: str
    pace: Pace
    memory: int
    seconds: float = math.inf
    processor: float = math.inf
    threads: int = 512

    def exceeded(self, elapsed: float, processor: float, usage: Usage | None) -> errors.InferenceError | None:
        """Return the error for the bound that is exceeded, if any.

        Args:
            elapsed: seconds since the task began.
            processor: processor time since then, in seconds.
            usage: what the process uses, if that is known.
        """
        if elapsed > self.seconds:
            return errors.JobTimeLimitError(f"{self.task} took longer than {self.seconds:g} s.")
        if self.pace.is_stalled:
            waited = self.pace.waited
            return errors.InferenceStalledError(f"{self.task} made no progress for {waited:.1f} s.")
        if processor > self.processor:
            most = self.processor
            return errors.JobTimeLimitError(f"{self.task} took more than {most:.1f} s of processor time.")
        if usage and usage.memory > self.memory:
            return self.memory_error()
        if usage and usage.threads > self.threads:
            return errors.InferenceCrashedError(f"{self.task} started too many threads.")
        return None

    def memory_error(self) -> errors.JobMemoryLimitError:
        """Return the error for too much memory."""
        return errors.JobMemoryLimitError(f"{self.task} needed more than {self.memory >> 20} MiB of memory.")


def usage_of(pid: int) -> Usage | None:
    """Return what a process uses, or None if it has ended or the system cannot report it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # Count the fields after the name, which may contain anything: see proc(5).
    fields = text.rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Usage(int(fields[21]) * _PAGE_BYTES, int(fields[17]), ticks / os.sysconf("SC_CLK_TCK"))


def limit_memory(pid: int, most_bytes: int) -> None:
    """Make the kernel refuse a process memory far beyond a limit, in case the watch is too slow."""
    if usage := usage_of(pid):
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        mapped = next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmData" in line)
        most = mapped + max(0, most_bytes - usage.memory) + _SPARE_BYTES
        resource.prlimit(pid, resource.RLIMIT_DATA, (most, most))


def limit_processor_time(pid: int, seconds: float) -> None:
    """Make the kernel kill a process after this much more processor time, in case this side hangs."""
    if usage := usage_of(pid):
        soft = int(usage.processor + seconds) + _SPARE_SECONDS
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
