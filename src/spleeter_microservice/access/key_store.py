"""Where API keys are kept: what any such place must do, and one in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from spleeter_microservice.access.principal import Principal, Scope
from spleeter_microservice.errors import UnknownKeyError


@dataclass(frozen=True)
class KeyRecord:
    """What is kept of an API key; the key itself is not.

    Attributes:
        key_id: names the key in lists, logs and ``keys revoke``; tells nothing about it.
        digest: of the key, see ``key_format.digest``.
        tenant: whose separations the key gives access to.
        scopes: what it may be used for.
        name: what its owner calls it.
        created_at, expires_at, last_used_at, revoked_at: times with a time zone; ``None`` where
            that has not happened, or never will.
    """

    key_id: str
    digest: str
    tenant: str
    scopes: frozenset[Scope]
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def principal(self) -> Principal:
        """The caller that shows this key."""
        return Principal(self.tenant, self.scopes, self.key_id)


class KeyStore(Protocol):
    """Keeps the records of API keys; ``tests/contract/key_store.py`` says what must hold."""

    async def add(self, record: KeyRecord) -> None:
        """Keep a new record; its id and its digest are ones that no other record has."""

    async def find(self, digest: str) -> KeyRecord | None:
        """Give the record with a digest, also when it is expired or revoked."""

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """Give all records, or those of one tenant, by time of creation and then by id."""

    async def revoke(self, key_id: str, at: datetime) -> KeyRecord:
        """Mark a key as revoked and give its record; the first revocation's time stays.

        Raises:
            UnknownKeyError: when there is no such key.
        """

    async def touch(self, key_id: str, at: datetime) -> None:
        """Note a use; never sets the time back, and does nothing when there is no such key."""


class MemoryKeyStore:
    """Keeps records as long as the process lives."""

    def __init__(self) -> None:
        self._records: dict[str, KeyRecord] = {}

    async def add(self, record: KeyRecord) -> None:
        """Keep a new record."""
        self._records[record.digest] = record

    async def find(self, digest: str) -> KeyRecord | None:
        """Give the record with a digest."""
        return self._records.get(digest)

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """Give all records, or those of one tenant."""
        found = [record for record in self._records.values() if tenant in (None, record.tenant)]
        return sorted(found, key=lambda record: (record.created_at, record.key_id))

    async def revoke(self, key_id: str, at: datetime) -> KeyRecord:
        """Mark a key as revoked."""
        record = self._named(key_id)
        if record is None:
            raise unknown(key_id)
        revoked = replace(record, revoked_at=record.revoked_at or at)
        self._records[record.digest] = revoked
        return revoked

    async def touch(self, key_id: str, at: datetime) -> None:
        """Note a use."""
        record = self._named(key_id)
        if record is not None and (record.last_used_at is None or record.last_used_at < at):
            self._records[record.digest] = replace(record, last_used_at=at)

    def _named(self, key_id: str) -> KeyRecord | None:
        return next((record for record in self._records.values() if record.key_id == key_id), None)


def unknown(key_id: str) -> UnknownKeyError:
    """Give the error for an id that no key has."""
    return UnknownKeyError(f"No API key has the id {key_id!r}. List them: spleeter-microservice keys list")
