"""Where API keys are kept: what any such place must do, and one in memory."""

from __future__ import annotations

from dataclasses import dataclass
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


def unknown(key_id: str) -> UnknownKeyError:
    """Give the error for an id that no key has."""
    return UnknownKeyError(f"No API key has the id {key_id!r}. List them: spleeter-microservice keys list")
