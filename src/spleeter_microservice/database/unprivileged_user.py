"""The user that the embedded PostgreSQL runs as: it refuses to run as root, or as a user without a name."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spleeter_microservice.errors import DatabaseStartError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """A user other than root."""

    name: str
    uid: int
    gid: int

    def enters(self, path: Path) -> bool:
        """Return whether the user may enter a directory and all directories above it."""
        return all(self._searches(folder) for folder in (path, *path.parents))

    def _searches(self, folder: Path) -> bool:
        facts = folder.stat()
        shift = 6 if facts.st_uid == self.uid else 3 if facts.st_gid == self.gid else 0
        return bool(facts.st_mode >> shift & 0o1)

    def command(self, command: list[str], *places: Path) -> tuple[list[str], dict[str, Any]]:
        """Return a command, and arguments for ``subprocess.run``, that run it as the user.

        Args:
            command: command to run.
            places: directories that it must enter. If the user may not (below ``/root``, for instance),
                setpriv of util-linux grants the command that right alone, and no directory's
                permissions are changed.

        Raises:
            DatabaseStartError: if setpriv is needed and not installed.
        """
        if all(self.enters(place) for place in places):
            return command, {"user": self.uid, "group": self.gid, "extra_groups": []}
        if shutil.which("setpriv") is None:
            raise DatabaseStartError(
                f"PostgreSQL must not run as root, and the user {self.name!r} may not enter "
                f"{' or '.join(map(str, places))}. Install setpriv (package util-linux), set "
                "SPLEETER_DATA_DIR to another directory, or start the service as another user."
            )
        rights = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
        identity = ["--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"]
        return ["setpriv", *identity, *rights, "--", *command], {}


def substitute_for_root() -> Account | None:
    """Return the user to run as instead of root, or None if this process does not run as root.

    Raises:
        DatabaseStartError: if no such user exists.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise DatabaseStartError(
        f"PostgreSQL must not run as root, and no user {' or '.join(_CANDIDATES)} exists. Start the service "
        "as another user, or set SPLEETER_DATABASE_URL."
    )


def with_a_name(command: list[str]) -> list[str]:
    """Return a command that runs another one as a user with a name, in a user namespace if need be.

    Outside the namespace, the command's files belong to the user of this process.

    Raises:
        DatabaseStartError: if this process's user has no name, and may not make user namespaces.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        nobody = pwd.getpwnam("nobody")
        namespace = ["unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}", "--"]
        if not _works([*namespace, "true"]):
            raise DatabaseStartError(
                f"The user id {os.geteuid()} has no name on this system, which PostgreSQL needs, and no user "
                "namespace (unshare of util-linux) can give it one. Add the user to /etc/passwd, start the "
                "service as another user, or set SPLEETER_DATABASE_URL."
            ) from None
        return [*namespace, *command]
    return command


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False
