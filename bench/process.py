"""Runs a program and asks the operating system what it took."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Cost:
    """Of one whole process and those that it waited for.

    Attributes:
        wall: seconds.
        cpu: seconds of processor time, user and system.
        memory: megabytes (10⁶ bytes) resident at the peak, of the largest process.
    """

    wall: float
    cpu: float
    memory: float


# Linux counts what a process was started from into its peak: a small process must start it.
_STARTER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=2)
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss], file)
"""


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, its output thrown away.

    Raises:
        RuntimeError: with what it printed, when it fails.
    """
    with tempfile.NamedTemporaryFile() as figures:
        starter = [sys.executable, "-S", "-c", _STARTER, figures.name, *map(str, command)]
        start = time.perf_counter()
        result = subprocess.run(
            starter, env={**os.environ, **(environment or {})}, stderr=subprocess.PIPE, text=True, check=True
        )
        wall = time.perf_counter() - start
        status, cpu, kilobytes = json.load(figures)
    if status:
        raise RuntimeError(f"{command[0]} ended with {status}:\n{result.stderr[-2000:]}")
    return Cost(wall, cpu, kilobytes * 1024 / 1e6)


def middle(costs: Sequence[Cost]) -> Cost:
    """Give the median of each figure."""
    return Cost(*(median(getattr(c, name) for c in costs) for name in ("wall", "cpu", "memory")))
