"""The hardware that a separation may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from spleeter_microservice.errors import ProcessorError

# What NumPy needs on x86-64; without it, its import would end the process with an illegal instruction.
_NEEDED = {"ssse3", "sse4_1", "sse4_2", "popcnt"}
_FLAGS = Path("/proc/cpuinfo")
_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"))


def available_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _groups() for quota in _quotas(group)]
    return min([cores, *(max(1, round(quota)) for quota in quotas)])


def check_processor() -> None:
    """Check that the processor has the instructions that the libraries need, where the system lists them.

    Raises:
        ProcessorError: if one is missing; the message names it.
    """
    with contextlib.suppress(OSError), _FLAGS.open(encoding="utf-8") as lines:
        flags = next((line.split() for line in lines if line.startswith("flags")), None)
        if flags and (missing := _NEEDED - set(flags)):
            raise ProcessorError(
                f"This processor lacks {', '.join(sorted(missing))}, which NumPy needs. Use one from 2009 or "
                "later; in a virtual machine, choose the processor type host or x86-64-v2."
            )


def _groups() -> Iterator[Path]:
    """Yield the folders that may be control groups of this process, or groups that contain those.

    In a container, the mounted group is often the process's own, whatever path the kernel states.
    """
    with contextlib.suppress(OSError):
        for line in _MEMBERSHIP.read_text(encoding="utf-8").splitlines():
            path = PurePosixPath(line.split(":", 2)[2].strip("/"))
            yield from (mount / part for mount in _MOUNTS for part in (path, *path.parents))


def _quotas(group: Path) -> Iterator[float]:
    """Yield the cores that a control group allows, in version 2 and in version 1."""
    with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        yield int(quota) / int(period)
    with contextlib.suppress(OSError):
        quota, period = (
            (group / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
        )
        if int(quota) > 0:
            yield int(quota) / int(period)
