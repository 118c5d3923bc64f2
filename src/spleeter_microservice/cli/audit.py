"""The command ``audit``: verify and export the audit log."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.audit.record import ChainHead
    from spleeter_microservice.audit.verify import Verification
    from spleeter_microservice.database.connection import Database


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    audit = commands.add_parser("audit", help="verify or export the audit log")
    actions = audit.add_subparsers(title="actions", metavar="ACTION", required=True)

    action = actions.add_parser("verify", help="find records that were changed, removed or moved")
    action.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="exported files, oldest first (default: the log in the database)",
    )
    action.add_argument("--anchor", metavar="NUMBER:HASH", help="a record, as you kept it elsewhere")
    action.add_argument(
        "--after", metavar="NUMBER:HASH", help="the last record before the first one to verify"
    )
    action.set_defaults(run=verify_audit)

    action = actions.add_parser("export", help="print the records as JSON lines")
    action.add_argument(
        "--after", type=int, default=0, metavar="NUMBER", help="print the records after this (default: all)"
    )
    action.set_defaults(run=export_audit)


def verify_audit(options: argparse.Namespace, settings: Settings) -> int:
    """Verify the audit log; an error with exit status 74 reports a change."""
    from spleeter_microservice.audit.record import BEGINNING
    from spleeter_microservice.audit.verify import Verification

    anchor = _head(options.anchor) if options.anchor else None
    verification = Verification(_head(options.after) if options.after else BEGINNING, anchor)
    report = verification.files(options.files) if options.files else _verify_table(verification, settings)
    for problem in report.problems:
        print(f"{problem.place}: {problem.message}")
    report.require_whole()
    head = f"{report.head.sequence}:{report.head.hash}"
    print(f"{report.records} records, intact.{_unknown(report)} Head: {head}")
    return 0


def _verify_table(verification: Verification, settings: Settings) -> Verification:
    from spleeter_microservice.bootstrap.database import with_database
    from spleeter_microservice.bootstrap.shared import audit_keys

    return with_database(settings, lambda database: verification.table(database, audit_keys(settings)))


def _unknown(report: Verification) -> str:
    """Return what could not be verified, as a sentence."""
    if not report.end_known:
        return " Later records may be missing; pass --anchor to check."
    return "" if report.seal_known else " The seal was not checked; set SPLEETER_AUDIT_KEY to do so."


def export_audit(options: argparse.Namespace, settings: Settings) -> int:
    """Print the records of the audit log."""
    from spleeter_microservice.bootstrap.database import with_database

    async def export(database: Database) -> None:
        async with database.transaction() as transaction:
            async for stored in transaction.stream("list_audit", after=options.after):
                print(stored["record"])

    with_database(settings, export)
    return 0


def _head(text: str) -> ChainHead:
    from spleeter_microservice.audit.record import ChainHead

    number, _, digest = text.partition(":")
    if not number.isdecimal() or not digest:
        raise ConfigurationError(f"Invalid record {text!r}: expected NUMBER:HASH.")
    return ChainHead(int(number), digest)
