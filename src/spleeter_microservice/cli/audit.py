"""The command ``audit``: verify the audit log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.audit.record import ChainHead


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    audit = commands.add_parser("audit", help="verify the audit log")
    actions = audit.add_subparsers(title="actions", metavar="ACTION", required=True)
    action = actions.add_parser("verify", help="find records that were changed, removed or moved")
    action.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="files of the log, oldest first (default: the log in the data folder)",
    )
    action.add_argument("--anchor", metavar="NUMBER:HASH", help="a record, as you kept it elsewhere")
    action.add_argument(
        "--after", metavar="NUMBER:HASH", help="the last record before the first of these files"
    )
    action.set_defaults(run=verify_audit)


def verify_audit(options: argparse.Namespace, settings: Settings) -> int:
    """Verify the audit log; an error with exit status 74 reports a change."""
    from spleeter_microservice.audit.record import BEGINNING
    from spleeter_microservice.audit.verify import verify
    from spleeter_microservice.bootstrap.shared import audit_path

    files = options.files or [audit_path(settings)]
    anchor = _head(options.anchor) if options.anchor else None
    report = verify(files, anchor=anchor, after=_head(options.after) if options.after else BEGINNING)
    for problem in report.problems:
        print(f"{problem.path}:{problem.line}: {problem.message}")
    report.require_whole()
    end = "" if report.end_known else " Later records may be missing; pass --anchor to check."
    print(f"{report.records} records, intact.{end} Head: {report.head.sequence}:{report.head.hash}")
    return 0


def _head(text: str) -> ChainHead:
    from spleeter_microservice.audit.record import ChainHead

    number, _, digest = text.partition(":")
    if not number.isdecimal() or not digest:
        raise ConfigurationError(f"Invalid record {text!r}: expected NUMBER:HASH.")
    return ChainHead(int(number), digest)
