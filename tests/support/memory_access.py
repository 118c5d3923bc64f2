"""Fakes of what the database keeps about callers: API keys and rates, in the memory of one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from spleeter_microservice.access.key_table import KeyTable
from spleeter_microservice.access.keys import KeyRecord
from spleeter_microservice.access.rate_limit import Allowance, Rate, RateLimiter, limited
from spleeter_microservice.errors import UnknownKeyError


class MemoryKeyStore(KeyTable):
    """A ``KeyTable`` that keeps its records as long as the process lives."""

    def __init__(self) -> None:
        self._records: dict[str, KeyRecord] = {}

    async def add(self, record: KeyRecord) -> None:
        self._records[record.key_id] = record

    async def find(self, digest: str) -> KeyRecord | None:
        return next((record for record in self._records.values() if record.digest == digest), None)

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        found = [record for record in self._records.values() if tenant in (None, record.tenant)]
        return sorted(found, key=lambda record: (record.created_at, record.key_id))

    async def revoke(self, key_id: str, at: datetime) -> KeyRecord:
        record = self._records.get(key_id)
        if record is None:
            raise UnknownKeyError("It is not in keys list.")
        self._records[key_id] = replace(record, revoked_at=record.revoked_at or at)
        return self._records[key_id]

    async def touch(self, key_id: str, at: datetime) -> None:
        record = self._records.get(key_id)
        if record and (record.last_used_at is None or record.last_used_at < at):
            self._records[key_id] = replace(record, last_used_at=at)


class MemoryRateLimiter(RateLimiter):
    """A ``RateLimiter`` that counts within one process, by the same algorithm."""

    def __init__(self, rate: Rate, now: Callable[[], float] = time.monotonic, kind: str = "requests") -> None:
        self.rate = rate
        self.kind = kind
        self._time = now
        self._full_at: dict[str, float] = {}

    async def take(self, name: str) -> Allowance:
        self._full_at[name] = self._next(name)
        return self.rate.allowance(self._full_at[name] - self._time())

    def _next(self, name: str) -> float:
        now = self._time()
        full_at = max(self._full_at.get(name, now), now) + self.rate.interval
        # A billionth of the period for rounding: ten tenths of a minute are one minute.
        wait = full_at - now - self.rate.period * (1 + 1e-9)
        if wait > 0:
            raise limited(wait)
        return full_at
