"""Entry point of the command line, which can be interrupted in order before anything else is loaded."""

import os
import sys


def main() -> int:
    """Run the command line and return its exit status."""
    try:
        import signal  # noqa: PLC0415

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)
    except KeyboardInterrupt:
        _end()
    from spleeter_microservice.cli import main, streams  # noqa: PLC0415

    return streams.guard(main.main)


def _end(*_: object) -> None:
    """End at once: nothing has begun, and an exception could get lost in a library that is being loaded."""
    os.write(2, b"Interrupted before anything was done.\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
