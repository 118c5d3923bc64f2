"""API keys in the database."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from spleeter_microservice.access.keys import KeyRecord
from spleeter_microservice.access.principal import Scope
from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.errors import UnknownKeyError


class KeyTable:
    """The records of API keys, which all processes share.

    Every call raises ``DatabaseUnavailableError`` if the database cannot be reached.

    Args:
        database: an open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: KeyRecord) -> None:
        """Add a record; no other record has its id or its digest."""
        await self._database.do("add_key", **asdict(record) | {"scopes": sorted(record.scopes)})

    async def find(self, digest: str) -> KeyRecord | None:
        """Return the record with a digest, even if it is expired or revoked."""
        row = await self._database.first("find_key", digest=digest)
        return _record(row) if row else None

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """Return all records, or those of one tenant, by time of creation and then by id."""
        rows = await self._database.rows("list_keys", tenant=tenant)
        return [_record(row) for row in rows]

    async def revoke(self, key_id: str, at: datetime) -> KeyRecord:
        """Mark a key as revoked and return its record; a key that was revoked before keeps that time.

        Raises:
            UnknownKeyError: if no key has this id.
        """
        row = await self._database.first("revoke_key", key_id=key_id, at=at)
        if row is None:
            raise UnknownKeyError(
                f"No API key has the id {key_id!r}. List them: spleeter-microservice keys list"
            )
        return _record(row)

    async def touch(self, key_id: str, at: datetime) -> None:
        """Record the time of a use, unless a later one is recorded or no key has this id."""
        await self._database.do("touch_key", key_id=key_id, at=at)


def _record(row: Row) -> KeyRecord:
    # Old keys may have the scope "admin", which no longer exists.
    return KeyRecord(**row | {"scopes": frozenset(scope for scope in Scope if scope in row["scopes"])})
