"""The standard streams, which may be closed, full, or of an encoding that lacks some characters."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from spleeter_microservice.errors import DiskFullError, OutputError, UnwritableOutputError


def guard(run: Callable[[], int]) -> int:
    """Run a command and return its exit status, or the one that says that its output was lost."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # a file that is opened would get the number of the closed stream
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    # Names of files may have bytes that are no characters.
    _reconfigure(sys.stdout, errors="backslashreplace")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Forgiving(sys.stderr.fileno(), "w", closefd=False)),
        encoding=sys.stderr.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except OSError as error:
        return _report_lost_output(error)


def _reconfigure(stream: Any, **changes: str) -> None:
    stream.reconfigure(**changes)


def _report_lost_output(error: OSError) -> int:
    """Return the exit status if standard output cannot be written; raise any other error."""
    try:
        sys.stdout.flush()  # what could not be written is tried again
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        raise error
    if isinstance(error, BrokenPipeError):  # its reader has seen enough
        return 128 + signal.SIGPIPE
    lost: type[OutputError] = DiskFullError if error.errno == errno.ENOSPC else UnwritableOutputError
    print(f"Error: Standard output cannot be written: {error.strerror}.", file=sys.stderr)
    return lost.facts.exit_status


class _Forgiving(io.FileIO):
    """A file that ignores errors, as standard error has no place to report its own."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data) or 0
        return len(data)
