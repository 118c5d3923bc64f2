"""Rate limits: requests per tenant, failed attempts per client address."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.errors import RateLimitError

_IPV6_SITE = 64  # bits of a customer's network; the customer chooses the other 64
_PORTIONS = 100
"""Portions of an allowance; a process takes one at a time, so that not every request needs the database."""
_NAMES = 10_000  # remembered at most


@dataclass(frozen=True)
class Rate:
    """``limit`` times per ``period`` seconds; all of them may happen at once."""

    limit: int
    period: float = 60.0

    @property
    def interval(self) -> float:
        """Seconds after which one more is allowed."""
        return self.period / self.limit

    def allowance(self, ahead: float) -> Allowance:
        """Return what is left of the rate if everything is allowed again in ``ahead`` seconds."""
        free = max(0.0, self.period - ahead)
        remaining = math.floor(free / self.interval + 1e-9)  # for rounding
        return Allowance(remaining, max(0.0, (remaining + 1) * self.interval - free))


@dataclass(frozen=True)
class Allowance:
    """What is left of a rate.

    Attributes:
        remaining: how many more are allowed at once.
        wait: seconds until another one is allowed.
    """

    remaining: int
    wait: float


def limited(wait: float) -> RateLimitError:
    """Return the error for a caller who must wait some seconds."""
    seconds = max(1, math.ceil(wait))
    return RateLimitError(f"Too many requests. Try again in {seconds} s.", seconds)


def client_name(address: str) -> str:
    """Return the name under which a client is counted: its IPv4 address, or its IPv6 network.

    A client with one IPv6 address usually has all 2^64 of its network.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _IPV6_SITE), strict=False))


class RateLimiter:
    """A counter by name, which all processes share.

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
        """Count one more, and return what was left when a portion was taken last.

        Raises:
            RateLimitError: if the limit is reached; this one is not counted then.
        """
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
