"""The command ``separate`` as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


def files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, relative to it."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class Command:
    """Runs ``separate`` with the tiny model in a folder of its own."""

    def __init__(self, model: Path, environment: dict[str, str], folder: Path) -> None:
        self.folder, self.environment = folder, environment
        self.words = [sys.executable, "-m", "spleeter_microservice", "separate", "-p", str(model)]

    def __call__(self, *arguments: str | Path) -> Result:
        """Run the command to its end."""
        return subprocess.run(
            [*self.words, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            [*self.words, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
