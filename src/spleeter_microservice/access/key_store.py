"""Records of API keys, and what a store of them must do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from spleeter_microservice.access.principal import Principal, Scope
from spleeter_microservice.errors import UnknownKeyError


@dataclass(frozen=True)
class KeyRecord:
    """What is stored of an API key; the key itself is not.

    Attributes:
        key_id: name of the key in lists, logs and ``keys revoke``; it reveals nothing about the key.
        digest: SHA-256 of the key; see ``key_format.digest``.
        tenant: owner of the separations that the key gives access to.
        scopes: what the key may be used for.
        name: its owner's name for it.
        created_at, expires_at, last_used_at, revoked_at: times with a time zone; ``None`` for never.
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
        """The caller who presents this key."""
        return Principal(self.tenant, self.scopes, self.key_id)


class KeyStore(Protocol):
    """A store of API keys' records; ``tests/contract/access/key_store.py`` tests every implementation."""

    async def add(self, record: KeyRecord) -> None:
        """Add a record; no other record has its id or its digest."""

    async def find(self, digest: str) -> KeyRecord | None:
        """Return the record with a digest, even if it is expired or revoked."""

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """Return all records, or those of one tenant, by time of creation and then by id."""

    async def revoke(self, key_id: str, at: datetime) -> KeyRecord:
        """Mark a key as revoked and return its record; a key that was revoked before keeps that time.

        Raises:
            UnknownKeyError: if no key has this id.
        """

    async def touch(self, key_id: str, at: datetime) -> None:
        """Record the time of a use, unless a later one is recorded or no key has this id."""


def unknown(key_id: str) -> UnknownKeyError:
    """Return the error for an id that no key has."""
    return UnknownKeyError(f"No API key has the id {key_id!r}. List them: spleeter-microservice keys list")
