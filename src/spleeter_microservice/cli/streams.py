"""The standard streams, which may be closed, full, or of an encoding that lacks some characters."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from spleeter_microservice.errors import DiskFullError, OutputError, UnwritableOutputError
from spleeter_microservice.files import FULL

_SIGPIPE = 13  # which Windows' signal module lacks


def guard(run: Callable[[], int]) -> int:
    """Run a command to its end, even if its output cannot be written; return its exit status.

    Returns:
        the command's status, or if that is 0 and output was lost, the status of that error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # otherwise a file that is opened would get the stream's number
            null = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115, PTH123
            setattr(sys, name, null)
            setattr(sys, f"__{name}__", null)  # keeps it open
    sys.stdout, output = _tolerant(sys.stdout)
    sys.stderr, _ = _tolerant(sys.stderr)
    try:
        status = run()
    except SystemExit as end:  # argparse's, or a signal's
        status = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    return status or _status_of(output.error)


def _status_of(error: OSError | None) -> int:
    if error is None:
        return 0
    if isinstance(error, BrokenPipeError):  # its reader has seen enough
        return 128 + _SIGPIPE
    print(f"Error: Standard output cannot be written: {error.strerror}.", file=sys.stderr)
    kind: type[OutputError] = DiskFullError if error.errno in FULL else UnwritableOutputError
    return kind.exit_status


def _tolerant(stream: TextIO) -> tuple[TextIO, _Tolerant]:
    file = _Tolerant(stream.fileno(), "w", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors="backslashreplace",  # file names may have bytes that are not characters
        line_buffering=stream is sys.stderr or stream.isatty() or bool(os.environ.get("PYTHONUNBUFFERED")),
    )
    return text, file


class _Tolerant(io.FileIO):
    """A file to which writing never fails.

    Attributes:
        error: the first error of a write.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = self.error or error
            return len(data)
