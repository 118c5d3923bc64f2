"""The command ``spleeter-microservice``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from spleeter_microservice.errors import ConfigurationError, SpleeterError
from spleeter_microservice.separation.device import check_processor
from spleeter_microservice.settings import Settings, misspelt_variables


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    options = make_parser().parse_args(arguments)
    try:
        check_processor()
        if getattr(options, "lifeline", None) is None:  # otherwise serve has said so
            for warning in misspelt_variables(os.environ):
                print(f"Warning: {warning}", file=sys.stderr)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status: int = options.run(options, Settings.from_environment(os.environ))
    except ConfigurationError as error:
        print(error.report(), file=sys.stderr)
        return error.exit_status
    except SpleeterError as error:
        print(f"Error: {' '.join(map(str.strip, str(error).splitlines()))}", file=sys.stderr)
        return error.exit_status
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__package__.partition(".")[0]):
            raise
        # Only the commands of the service import what the plain package or Windows does not bring.
        advice = (
            "which this system lacks. Run the service on Linux or macOS, in WSL or in Docker."
            if error.name in sys.stdlib_module_names
            else "which is not installed. Install the service: pip install 'spleeter-microservice[service]'"
        )
        print(f"Error: This command needs {error.name}, {advice}", file=sys.stderr)
        return ConfigurationError.exit_status
    except KeyboardInterrupt:
        print("Interrupted; nothing half-written was left.", file=sys.stderr)
        return 128 + signal.SIGINT
    return status


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End as by Ctrl-C, so that every context is left in order."""
    raise SystemExit(128 + signal.SIGTERM)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from importlib.metadata import version

    from spleeter_microservice.cli import audit, evaluate, keys, models, separate, serve, tokens, train

    parser = argparse.ArgumentParser(
        prog="spleeter-microservice", description="Separates songs into stems with Spleeter's networks."
    )
    parser.add_argument("--version", action="version", version=version("spleeter-microservice"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (separate, evaluate, train, models, serve, keys, tokens, audit):
        command.add_parser(commands)
    return parser
