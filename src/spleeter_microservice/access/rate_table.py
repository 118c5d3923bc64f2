"""Rate limits that are counted in the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from spleeter_microservice.access.rate_limit import Allowance, Rate, limited
from spleeter_microservice.database.connection import Database, Row

_PORTIONS = 100
"""Portions of an allowance; a process takes one at a time, so that not every request needs the database."""
_NAMES = 10_000  # remembered at most


class DatabaseRateLimiter:
    """A ``RateLimiter`` that all processes share.

    The generic cell rate algorithm (ITU-T I.371, annex A): of each name, only the time is stored at which its
    allowance will be full again. Each use moves it on by one interval; it may lie at most a period ahead.

    A process keeps what is left of its portion, which the other processes then cannot use. It also remembers
    how long a name must wait, so that a flood of refused requests does not reach the database.

    Every call raises ``DatabaseUnavailableError`` if the database cannot be reached.

    Args:
        database: an open database.
        rate: the limit.
        kind: what is counted; names of different kinds are counted separately.
        now: monotonic clock, in seconds (default: the database's, which all processes share).
    """

    def __init__(
        self, database: Database, rate: Rate, kind: str, now: Callable[[], float | None] = lambda: None
    ) -> None:
        self.rate = rate
        self.kind = kind
        self._database = database
        self._now = now
        self._portion = max(1, rate.limit // _PORTIONS)
        self._left: dict[str, int] = {}
        self._others: dict[str, Allowance] = {}
        self._waiting: dict[str, float] = {}
        self._taking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, name: str) -> Allowance:
        """Count one more, and return what was left when a portion was taken last."""
        if not self._left.get(name):
            # One at a time, or requests at the same moment would each take a portion and use one of it.
            async with self._taking.setdefault(name, asyncio.Lock()):
                if not self._left.get(name):
                    _bound(self._left, self._others, self._waiting)
                    self._others[name] = await self._take_portion(name)
        self._left[name] -= 1
        shared = self._others[name]
        return replace(shared, remaining=shared.remaining + self._left[name])

    async def _take_portion(self, name: str) -> Allowance:
        """Take a portion or, if less is left, one; return what all processes have left then."""
        wait = self._waiting.get(name, 0.0) - self._clock()
        if wait > 0:
            raise limited(wait)
        for count in dict.fromkeys((self._portion, 1)):
            row = await self._query(name, count)
            if row["wait"] <= 0:
                self._left[name] = self._left.get(name, 0) + count
                return self.rate.allowance(row["ahead"])
        self._waiting[name] = self._clock() + row["wait"]
        raise limited(row["wait"])

    def _clock(self) -> float:
        return self._now() or time.monotonic()

    async def _query(self, name: str, count: int) -> Row:
        """Take ``count`` if allowed; return the seconds until that, and until all are allowed."""
        return await self._database.one(
            "take_rate",
            name=f"{self.kind}:{name}",
            now=self._now(),
            interval=self.rate.interval * count,
            period=self.rate.period * (1 + 1e-9),  # for rounding
        )


def _bound(*caches: dict[str, Any]) -> None:
    """Clear caches of the same names that have grown too large."""
    if any(len(names) > _NAMES for names in caches):
        for names in caches:
            names.clear()


async def prune_rates(database: Database) -> int:
    """Delete names whose allowance is full again, and return how many."""
    return await database.do("prune_rates")
