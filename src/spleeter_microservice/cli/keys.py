"""The command ``keys``: create, list and revoke API keys."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from spleeter_microservice.cli.table import table
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.access.keys import ApiKeys, KeyRecord
    from spleeter_microservice.audit.log import AuditLog
    from spleeter_microservice.audit.record import Action, AuditEvent
    from spleeter_microservice.database.connection import Database

T = TypeVar("T")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the command line."""
    keys = commands.add_parser("keys", help="create, list and revoke API keys")
    actions = keys.add_subparsers(title="actions", metavar="ACTION", required=True)

    action = actions.add_parser("create", help="create a key and print it; it is not shown again")
    action.add_argument(
        "--tenant", default="default", help="tenant whose separations it grants access to (default: default)"
    )
    action.add_argument(
        "--scopes",
        default="separate,read",
        help="scopes, comma-separated: separate, read (default: both)",
    )
    action.add_argument("--days", type=float, help="days until it expires (default: never)")
    action.add_argument("--name", default="", help="name for your own use")
    action.set_defaults(run=create_key)

    action = actions.add_parser("list", help="list keys; the keys themselves are not stored")
    action.add_argument("--tenant", help="list the keys of one tenant only")
    action.add_argument("--json", action="store_true", help="print JSON")
    action.set_defaults(run=list_keys)

    action = actions.add_parser("revoke", help="revoke a key, effective immediately")
    action.add_argument("id", metavar="ID", help="id of the key, as listed (key_…)")
    action.set_defaults(run=revoke_key)


def create_key(options: argparse.Namespace, settings: Settings) -> int:
    """Create a key and print it."""
    from spleeter_microservice.access.principal import parse_scopes
    from spleeter_microservice.audit.record import Action

    scopes = parse_scopes(name.strip() for name in options.scopes.split(","))
    lifetime = None if options.days is None else timedelta(days=options.days)

    async def create(keys: ApiKeys, audit: AuditLog) -> str:
        text, record = await keys.create(options.tenant, scopes, lifetime=lifetime, name=options.name)
        await audit.record(_event(Action.KEY_CREATED, record))
        return text

    print(_with_keys(settings, create))
    return 0


def list_keys(options: argparse.Namespace, settings: Settings) -> int:
    """List keys."""
    records = _with_keys(settings, lambda keys, _: keys.store.list(options.tenant))
    rows = [{name: read(record) for name, read in _COLUMNS.items()} for record in records]
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    headings = [name.upper() for name in _COLUMNS]
    print(table([headings, *([value or "-" for value in row.values()] for row in rows)]))
    return 0


def revoke_key(options: argparse.Namespace, settings: Settings) -> int:
    """Revoke a key."""
    from spleeter_microservice.audit.record import Action

    async def revoke(keys: ApiKeys, audit: AuditLog) -> KeyRecord:
        record = await keys.revoke(options.id)
        await audit.record(_event(Action.KEY_REVOKED, record))
        return record

    print(f"{_with_keys(settings, revoke).key_id}: revoked.")
    return 0


_COLUMNS: Mapping[str, Callable[[KeyRecord], str | None]] = {
    "id": lambda record: record.key_id,
    "tenant": lambda record: record.tenant,
    "scopes": lambda record: ",".join(sorted(record.scopes)),
    "name": lambda record: record.name,
    "created": lambda record: _time(record.created_at),
    "expires": lambda record: _time(record.expires_at),
    "last used": lambda record: _time(record.last_used_at),
    "revoked": lambda record: _time(record.revoked_at),
}


def _time(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None


def _with_keys(settings: Settings, action: Callable[[ApiKeys, AuditLog], Awaitable[T]]) -> T:
    from spleeter_microservice.access.key_table import KeyTable
    from spleeter_microservice.access.keys import ApiKeys
    from spleeter_microservice.audit.log import AuditLog
    from spleeter_microservice.bootstrap.database import with_database
    from spleeter_microservice.bootstrap.shared import audit_keys

    def act(database: Database) -> Awaitable[T]:
        return action(ApiKeys(KeyTable(database)), AuditLog(database, audit_keys(settings)))

    return with_database(settings, act)


def _event(action: Action, record: KeyRecord) -> AuditEvent:
    from spleeter_microservice.audit.record import AuditEvent

    return AuditEvent(action, tenant=record.tenant, actor="command line", details={"key_id": record.key_id})
