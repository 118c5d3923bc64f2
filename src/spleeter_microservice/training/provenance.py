"""The provenance of a model: the versions that trained it, and a digest of its audio files."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_TIMEOUT = 10  # seconds


def program() -> dict[str, Any]:
    """Return the commit of the source, if it is in a repository, and the versions of the main packages."""
    packages = {name: version(name) for name in ("spleeter-microservice", "torch", "numpy", "av")}
    return {"commit": _commit(), "versions": {"python": platform.python_version()} | packages}


def digest(hashes: Mapping[Path, str], folder: Path) -> str:
    """Hash the paths, relative to a folder, and the hashes of all audio files."""
    lines = sorted(f"{_below(path, folder)}\0{sha256}\n" for path, sha256 in hashes.items())
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _commit() -> str | None:
    """Return the commit of the source, with ``+`` appended if the source has uncommitted changes."""
    tracked, commit = _git("ls-files", "--", Path(__file__).name), _git("rev-parse", "HEAD")
    if not tracked or not commit:  # an installed package, perhaps inside another repository
        return None
    return commit + ("+" if _git("status", "--porcelain", "--", "..") else "")


def _git(*arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # git's path is looked up, and the arguments are constants
            [git, *arguments], cwd=_HERE, capture_output=True, text=True, timeout=_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
