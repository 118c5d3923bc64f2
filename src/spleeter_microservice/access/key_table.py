"""API keys in the database."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from spleeter_microservice.access.key_store import KeyRecord, unknown
from spleeter_microservice.access.principal import Scope
from spleeter_microservice.database.connection import Database, Row


class KeyTable:
    """A ``KeyStore`` that all processes share.

    Every call raises ``DatabaseUnavailableError`` if the database cannot be reached.

    Args:
        database: an open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: KeyRecord) -> None:
        """Add a record."""
        await self._database.do("add_key", **asdict(record) | {"scopes": sorted(record.scopes)})

    async def find(self, digest: str) -> KeyRecord | None:
        """Return the record with a digest."""
        row = await self._database.first("find_key", digest=digest)
        return _record(row) if row else None

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """Return all records, or those of one tenant."""
        rows = await self._database.rows("list_keys", tenant=tenant)
        return [_record(row) for row in rows]

    async def revoke(self, key_id: str, at: datetime) -> KeyRecord:
        """Mark a key as revoked."""
        row = await self._database.first("revoke_key", key_id=key_id, at=at)
        if row is None:
            raise unknown(key_id)
        return _record(row)

    async def touch(self, key_id: str, at: datetime) -> None:
        """Record the time of a use."""
        await self._database.do("touch_key", key_id=key_id, at=at)


def _record(row: Row) -> KeyRecord:
    # Old keys may have the scope "admin", which no longer exists.
    return KeyRecord(**row | {"scopes": frozenset(scope for scope in Scope if scope in row["scopes"])})
