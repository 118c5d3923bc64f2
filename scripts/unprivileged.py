#!/opt/spleeter/bin/python3 -IS
"""Drops root's privileges and executes the program of the same name: the entry point of the image's commands.

The image has this script in front of its programs, under their names. Started as root, it makes the
service's account own the data folder if that cannot write to it, and drops every privilege. Started as
any other user, it does neither.
"""

import ctypes
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

ACCOUNT = 10001
DROP_FROM_BOUNDS, SET_NO_NEW_PRIVS = 24, 38  # operations of prctl
CAPABILITIES_VERSION, CAPABILITIES = 0x20080522, 64
WRONG_SETTING = 2


def main() -> None:
    """Become the program."""
    if os.geteuid() == 0:
        try:
            become_account()
        except OSError as error:
            print(
                f"Error: the container cannot give up root's privileges: {error.strerror}. Give it the "
                f"capabilities CHOWN, SETGID and SETUID, or start it as another user: --user {ACCOUNT}",
                file=sys.stderr,
            )
            sys.exit(WRONG_SETTING)
    program = Path(sys.executable).with_name(Path(sys.argv[0]).name)
    os.execv(program, [str(program), *sys.argv[1:]])  # noqa: S606  (no shell is needed)


def become_account() -> None:
    """Make the account own the data folder, and switch to the account irrevocably.

    Raises:
        OSError: if the container lacks the capabilities for this.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(CAPABILITIES):
        libc.prctl(DROP_FROM_BOUNDS, capability, 0, 0, 0)  # fails without SETPCAP, and is not needed then
    os.setgroups([])
    os.setresgid(ACCOUNT, ACCOUNT, ACCOUNT)
    give_data_folder(Path(os.environ.get("SPLEETER_DATA_DIR") or "/data"))
    os.setresuid(ACCOUNT, ACCOUNT, ACCOUNT)
    header, none = struct.pack("Ii", CAPABILITIES_VERSION, 0), bytes(24)
    if libc.capset(header, none) or libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def give_data_folder(folder: Path) -> None:
    """Make the account the owner of a folder, but of nothing in it, if it cannot write there."""
    os.seteuid(ACCOUNT)
    writable = os.access(folder, os.W_OK | os.X_OK, effective_ids=True)
    os.seteuid(0)
    if not writable:
        with suppress(OSError):  # a file system without owners; the service reports what it cannot write
            os.chown(folder, ACCOUNT, -1)


if __name__ == "__main__":
    main()
