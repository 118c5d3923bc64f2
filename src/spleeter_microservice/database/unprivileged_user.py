"""The account that the embedded PostgreSQL runs under: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spleeter_microservice.errors import DatabaseStartError

_CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An account other than root."""

    name: str
    uid: int
    gid: int

    def enters(self, path: Path) -> bool:
        """Tell whether the account may enter a folder and all above it."""
        return all(self._searches(folder) for folder in (path, *path.parents))

    def _searches(self, folder: Path) -> bool:
        facts = folder.stat()
        shift = 6 if facts.st_uid == self.uid else 3 if facts.st_gid == self.gid else 0
        return bool(facts.st_mode >> shift & 0o1)

    def command(self, command: list[str], *places: Path) -> tuple[list[str], dict[str, Any]]:
        """Give a command, and arguments of ``subprocess.run``, that run it under the account.

        Args:
            command: to run.
            places: folders that it must enter. Where the account may not (below ``/root``, for
                instance), the command gets the right to, by setpriv of util-linux: less than
                root's rights, and no folder's permissions are changed.
        """
        if all(self.enters(place) for place in places):
            return command, {"user": self.uid, "group": self.gid, "extra_groups": []}
        if shutil.which("setpriv") is None:
            raise DatabaseStartError(
                f"PostgreSQL must not run as root, and the account {self.name!r} may not enter "
                f"{' or '.join(map(str, places))}. Install setpriv (package util-linux), choose another "
                "folder with SPLEETER_DATA_DIR, or start the service under another account."
            )
        rights = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
        identity = ["--reuid", str(self.uid), "--regid", str(self.gid), "--clear-groups"]
        return ["setpriv", *identity, *rights, "--", *command], {}


def substitute_for_root() -> Account | None:
    """Give the account to use instead of root; None when this process is not root's.

    Raises:
        DatabaseStartError: when there is none.
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
        f"PostgreSQL must not run as root, and there is no account {' or '.join(_CANDIDATES)}. Start the "
        "service under another account, or set SPLEETER_DATABASE_URL."
    )
