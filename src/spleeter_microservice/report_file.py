"""Writes a report to a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from spleeter_microservice.errors import UnwritableOutputError


def check_writable(path: Path) -> None:
    """Find out before the work whether the report can be written after it.

    Raises:
        UnwritableOutputError: when it is a folder, or its folder does not exist.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UnwritableOutputError(
            f"The report {path} cannot be written: give a file in an existing folder."
        )


def write(path: Path, text: str) -> None:
    """Write the report under a temporary name, then give it its own.

    Raises:
        UnwritableOutputError: when the folder refuses it.
    """
    temporary = path.with_name(f".{path.name[:200]}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UnwritableOutputError(f"The report {path} cannot be written: {error.strerror}.") from error
