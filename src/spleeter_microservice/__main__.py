"""Entry point of the command line, which loads almost nothing until it can be interrupted in order."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> int:
    """Run the command line and return its exit status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from spleeter_microservice.cli import main, streams  # noqa: PLC0415

    return streams.guard(main.main)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End at once: nothing has begun, and an exception could get lost in a library that is being loaded."""
    os.write(2, b"Interrupted before anything was done.\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
