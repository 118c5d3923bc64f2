"""A seccomp filter: no sockets, no other processes, no tracing.

It forbids the system calls that audio and inference never need; they fail with EPERM. All others stay
allowed, because the calls of ONNX Runtime, FFmpeg and GPU drivers change with their versions. The
filter is classic BPF; see seccomp(2) and <linux/seccomp.h>.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from spleeter_microservice.sandbox.confinement.libc import call, libc

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000  # x86-64 has a second set of calls from this number on
_SET_MODE_FILTER, _ALL_THREADS = 1, 1

_NEW = {  # the same on every architecture
    **{"pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427},
    **{"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433},
    **{"pidfd_open": 434, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442},
}
_X86_64 = {
    **{"socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50},
    **{"socketpair": 53, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101, "rt_sigqueueinfo": 129},
    **{"personality": 135, "pivot_root": 155, "setrlimit": 160, "chroot": 161, "acct": 163, "mount": 165},
    **{"umount2": 166, "swapon": 167, "reboot": 169, "init_module": 175, "tkill": 200, "kexec_load": 246},
    **{"add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "accept4": 288},
    **{"rt_tgsigqueueinfo": 297, "perf_event_open": 298, "open_by_handle_at": 304, "sendmmsg": 307},
    **{"setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313},
    **{"kexec_file_load": 320, "bpf": 321, "execveat": 322, "userfaultfd": 323},
}
_AARCH64 = {
    **{"umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "acct": 89, "personality": 92},
    **{"unshare": 97, "kexec_load": 104, "init_module": 105, "ptrace": 117, "tkill": 130},
    **{"rt_sigqueueinfo": 138, "reboot": 142, "setrlimit": 164, "socket": 198, "socketpair": 199},
    **{"bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "sendmsg": 211},
    **{"add_key": 217, "request_key": 218, "keyctl": 219, "execve": 221, "swapon": 224},
    **{"rt_tgsigqueueinfo": 240, "perf_event_open": 241, "accept4": 242, "open_by_handle_at": 265},
    **{"setns": 268, "sendmmsg": 269, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272},
    **{"finit_module": 273, "bpf": 280, "execveat": 281, "userfaultfd": 282, "kexec_file_load": 294},
}


@dataclass(frozen=True)
class _Machine:
    """System call numbers of one architecture; calls allowed with certain arguments have fields."""

    audit: int
    forbidden: dict[str, int]
    seccomp: int
    clone: int
    kill: int
    tgkill: int
    prlimit64: int
    clone3: int = 435


_MACHINES = {
    "x86_64": _Machine(0xC000003E, _X86_64 | _NEW, 317, 56, 62, 234, 302),
    "aarch64": _Machine(0xC00000B7, _AARCH64 | _NEW, 277, 220, 129, 131, 261),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> bool:
    """Install the filter irrevocably in this process; needs ``no_new_privs``.

    Returns:
        False if the kernel refused it or the architecture is unknown.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _filter(machine, os.getpid()))
    program = _Program(len(code) // 8, code)
    return call(libc().syscall, machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program))


_Instruction = tuple[int, int, int, int]
_DENY: _Instruction = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
_PERMIT: _Instruction = (_RETURN, 0, 0, _ALLOW)


def _filter(machine: _Machine, process: int) -> list[_Instruction]:
    load_number: _Instruction = (_LOAD, 0, 0, _NUMBER)
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        _DENY,  # 32-bit calls
        load_number,
        (_AT_LEAST, 0, 1, _X32),
        _DENY,
        *(step for number in machine.forbidden.values() for step in ((_EQUAL, 0, 1, number), _DENY)),
        # The C library creates threads with clone3, whose arguments a filter cannot see, and falls back
        # to clone.
        (_EQUAL, 0, 1, machine.clone3),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        *_only_if(machine.clone, 0, (_ANY_BIT, 1, 0, _CLONE_THREAD)),
        *_only_if(machine.kill, 0, (_EQUAL, 1, 0, process)),
        *_only_if(machine.tgkill, 0, (_EQUAL, 1, 0, process)),
        # Limits may be read (the pointer to new ones is null) but not changed.
        (_EQUAL, 0, 6, machine.prlimit64),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * 2),
        (_EQUAL, 1, 0, 0),
        _DENY,
        (_LOAD, 0, 0, _ARGUMENTS + 8 * 2 + 4),
        (_EQUAL, 1, 0, 0),
        _DENY,
        _PERMIT,
    ]


def _only_if(number: int, argument: int, condition: _Instruction) -> list[_Instruction]:
    """Allow a call only if the lower half of an argument meets a condition."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
        condition,
        _DENY,
        _PERMIT,
    ]
