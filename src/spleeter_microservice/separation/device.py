"""The hardware that a separation may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"))


def available_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _groups() for quota in _quotas(group)]
    return min([cores, *(max(1, round(quota)) for quota in quotas)])


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
