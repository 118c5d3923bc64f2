"""Landlock: restrictions on files, TCP ports and signals.

See landlock(7) and <linux/landlock.h>. The available restrictions depend on the kernel's version.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from spleeter_microservice.sandbox.confinement.libc import call, libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << i for i in range(6))
_MAKE_DIR, _MAKE_REGULAR = 1 << 7, 1 << 8
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_FILE_RIGHTS = [0, 13, 14, 15, 15, 16]  # number of file rights, by Landlock version
_TCP_RIGHTS = 0b11
_SCOPES = 0b11  # abstract Unix sockets and signals reach only processes in the same domain

_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REGULAR
_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL
_OF_FILES = _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("tcp", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Rule(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def restrict(readable: Iterable[Path], writable: Iterable[Path], devices: Iterable[Path]) -> list[str]:
    """Restrict this thread and its future threads irrevocably; needs ``no_new_privs``.

    Args:
        readable: files and directories that may be read.
        writable: directories that may be read and written; links, pipes and devices cannot be created there.
        devices: device files that may be used.

    Returns:
        the names of the measures in force.
    """
    version = libc().syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION)
    )
    if version < 1:
        return []
    handled = (1 << _FILE_RIGHTS[min(version, 5)]) - 1
    wanted = _Ruleset(handled, _TCP_RIGHTS if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc().syscall(
        ctypes.c_long(_CREATE_RULESET), ctypes.byref(wanted), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        return []
    for paths, rights in ((readable, _READ), (writable, _WRITE), (devices, _DEVICE)):
        for path in paths:
            _allow(ruleset, path, rights & handled)
    restricted = call(libc().syscall, _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    names = ["landlock_files", *["landlock_tcp"] * (version >= 4), *["landlock_signals"] * (version >= 6)]
    return names if restricted else []


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with contextlib.suppress(OSError):  # a missing path needs no rule
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = _Rule(rights if path.is_dir() else rights & _OF_FILES, descriptor)
            call(libc().syscall, _ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(descriptor)
