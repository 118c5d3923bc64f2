"""The sandbox's policy: what a confined process keeps before it sees any audio.

This module imports the standard library only: threads that exist already would escape Landlock, and
NumPy starts some. Measures that the kernel lacks are skipped; the caller learns which are in force.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.sandbox.confinement import landlock, seccomp
from spleeter_microservice.sandbox.confinement.libc import call, libc

MEASURES = (
    *("limits", "oom_first", "no_new_privileges", "no_capabilities", "dies_with_parent"),
    *("landlock_files", "landlock_tcp", "landlock_signals", "seccomp"),
)
"""Names of all measures."""

_ENVIRONMENT = (
    *("LANG", "LC_ALL", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"),
    # A choice of arithmetic kernels must hold here too, as other kernels round differently.
    *("OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
)
_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc/self"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/driver", "/proc/sys/vm"),
    *("/sys/bus", "/sys/devices", "/sys/fs/cgroup", "/dev/urandom", "/dev/random", "/dev/zero"),
)
_SPARE_TASKS = 256
_SET_PARENT_DEATH_SIGNAL, _DROP_FROM_BOUNDS, _SET_NO_NEW_PRIVS = 1, 24, 38
_CAPABILITIES_VERSION = 0x20080522
_KILLED_FIRST = "800"  # oom_score_adj, up to 1000


@dataclass(frozen=True)
class Sandbox:
    """The rights that a process keeps.

    Attributes:
        readable: directories that it may read, besides Python and the system's libraries.
        writable: directories that it may read and write.
        file_size: maximum size of a file that it writes, in bytes.
        open_files: maximum number of open files.
    """

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    file_size: int
    open_files: int

    def enter(self, parent: int) -> list[str]:
        """Drop all other rights irrevocably.

        Args:
            parent: PID of the process with which this one must die.

        Returns:
            the ``MEASURES`` in force.
        """
        self._limit()
        in_force = ["limits"]
        if sys.platform != "linux":
            return in_force
        in_force += ["oom_first"] * _prefer_for_oom_kill()
        in_force += ["no_new_privileges"] * call(libc().prctl, _SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        in_force += ["no_capabilities"] * _drop_capabilities()
        if call(libc().prctl, _SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0):
            in_force.append("dies_with_parent")
        if os.getppid() != parent:
            raise SystemExit("The parent is gone.")
        readable = [*self.readable, *_python(), *map(Path, _SYSTEM)]
        devices = [Path("/dev/null"), *Path("/dev").glob("nvidia*")]
        in_force += landlock.restrict(readable, self.writable, devices)
        return in_force + ["seccomp"] * seccomp.install()

    def _limit(self) -> None:
        _set_limit(resource.RLIMIT_CORE, 0)
        _set_limit(resource.RLIMIT_FSIZE, self.file_size)
        _set_limit(resource.RLIMIT_NOFILE, self.open_files)
        if os.geteuid() != 0:  # the kernel exempts root; there, seccomp and the parent's watch remain
            _set_limit(resource.RLIMIT_NPROC, _own_tasks() + _SPARE_TASKS)


def environment(environ: Mapping[str, str], work_folder: Path) -> dict[str, str]:
    """Return the environment of a confined process, without anything that could be a secret."""
    kept = {name: environ[name] for name in _ENVIRONMENT if name in environ}
    if path := kept.get("PYTHONPATH"):  # the process has another current directory
        kept["PYTHONPATH"] = os.pathsep.join(str(Path(entry).absolute()) for entry in path.split(os.pathsep))
    return kept | {
        "TMPDIR": str(work_folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ORT_DISABLE_TELEMETRY": "1",  # otherwise ONNX Runtime reports usage to Microsoft
    }


def _python() -> list[Path]:
    """Return the directories of Python, this program and its libraries."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    folders = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *libraries]
    return [Path(folder) for folder in folders if folder] + [Path(__file__).parents[2]]


def _set_limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _own_tasks() -> int:
    """Count the threads of all of this user's processes, to which the kernel applies the limit."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid():
                count += sum(1 for _ in (folder / "task").iterdir())
    return count


def _prefer_for_oom_kill() -> bool:
    """Ask the kernel to kill this process before its parent if memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST, encoding="ascii")
    except OSError:
        return False
    return True


def _drop_capabilities() -> bool:
    """Drop all capabilities; the rights of an owner to its files remain."""
    for capability in range(64):
        call(libc().prctl, _DROP_FROM_BOUNDS, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return call(libc().capset, ctypes.byref(header), ctypes.byref(nothing))
