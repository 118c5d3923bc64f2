"""Whole processes and the resources that they took."""

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
    """The cost of a process and of the children that it waited for.

    Attributes:
        wall: elapsed time in seconds.
        cpu: processor time in seconds, user and system.
        memory: peak resident memory of the largest process in megabytes (10⁶ bytes).
    """

    wall: float
    cpu: float
    memory: float


# Linux counts the memory of the forking process towards the peak of its child: fork from a small one.
_STARTER = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=2)
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss], file)
"""


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command, discard its output and return its cost.

    Raises:
        RuntimeError: if the command fails; the message ends with its standard error.
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
        raise RuntimeError(f"{command[0]} exited with status {status}:\n{result.stderr[-2000:]}")
    return Cost(wall, cpu, kilobytes * 1024 / 1e6)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(median(getattr(c, name) for c in costs) for name in ("wall", "cpu", "memory")))
