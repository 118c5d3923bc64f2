"""A song from standard input, and a stem to standard output."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from spleeter_microservice.errors import ConfigurationError, DiskFullError, UnwritableOutputError
from spleeter_microservice.files import FULL

STANDARD_INPUT = Path("-")


def spool_standard_input(folder: Path) -> Path:
    """Copy standard input into a file of a folder, because decoders seek.

    Raises:
        ConfigurationError: if it is a terminal.
        DiskFullError: if no space is left.
        UnwritableOutputError: if it cannot be read, or the file not be written, for another reason.
    """
    if sys.stdin.isatty():
        raise ConfigurationError(
            "Standard input is a terminal. Pipe a song into this command, or name a file."
        )
    path = folder / "stdin"
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    except OSError as error:
        kind = DiskFullError if error.errno in FULL else UnwritableOutputError
        raise kind(
            f"Standard input cannot be copied to {folder}: {error.strerror}. Choose another temporary folder "
            "with TMPDIR."
        ) from error
    return path


def print_file(path: Path) -> None:
    """Copy a file to standard output; ``streams.guard`` reports errors."""
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
