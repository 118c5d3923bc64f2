"""How often somebody may do something: requests per tenant, failed attempts per address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from spleeter_microservice.errors import ConfigurationError, RateLimitError

_IPV6_SITE = 64  # bits that one customer's network shares; the rest is free to choose


@dataclass(frozen=True)
class Rate:
    """``limit`` times per ``period`` seconds; all of them may come at once."""

    limit: int
    period: float = 60.0

    def __post_init__(self) -> None:
        if self.limit < 1 or self.period <= 0:
            raise ConfigurationError("A rate limit is at least 1 in a period longer than nothing.")

    @property
    def interval(self) -> float:
        """Seconds in which one more becomes possible."""
        return self.period / self.limit


class RateLimiter(Protocol):
    """Counts by name; ``tests/contract/rate_limiter.py`` says what must hold."""

    async def take(self, name: str) -> None:
        """Count one more.

        Raises:
            RateLimitError: when there were too many; this one is then not counted.
        """

    async def check(self, name: str) -> None:
        """Count nothing.

        Raises:
            RateLimitError: when ``take`` would raise it.
        """


class MemoryRateLimiter:
    """Counts within one process.

    The generic cell rate algorithm (ITU-T I.371, annex A): of each name only one time is kept,
    the one at which its allowance will be full again. Each use moves it on by one interval; it
    may lie at most a period ahead.

    Args:
        rate: how often.
        now: seconds that never go back.
        maximum_names: that are kept; beyond that the one unused for longest is forgotten, so
            that a flood of names costs neither memory nor the innocent their access.
    """

    def __init__(
        self, rate: Rate, now: Callable[[], float] = time.monotonic, maximum_names: int = 50_000
    ) -> None:
        self.rate = rate
        self._now = now
        self.maximum_names = maximum_names
        self._full_at: OrderedDict[str, float] = OrderedDict()

    async def take(self, name: str) -> None:
        """Count one more."""
        self._full_at[name] = self._next(name)
        self._full_at.move_to_end(name)
        self._forget()

    async def check(self, name: str) -> None:
        """Count nothing."""
        self._next(name)

    def __len__(self) -> int:
        """Number of names that are kept."""
        return len(self._full_at)

    def _next(self, name: str) -> float:
        now = self._now()
        full_at = max(self._full_at.get(name, now), now) + self.rate.interval
        # A billionth of the period for rounding: ten tenths of a minute are one minute.
        wait = full_at - now - self.rate.period * (1 + 1e-9)
        if wait > 0:
            raise limited(wait)
        return full_at

    def _forget(self) -> None:
        """Drop the name unused for longest when it is one too many or means nothing any more."""
        oldest, full_at = next(iter(self._full_at.items()))
        if len(self._full_at) > self.maximum_names or full_at <= self._now():
            del self._full_at[oldest]


def limited(wait: float) -> RateLimitError:
    """Give the error for somebody who has to wait some seconds."""
    seconds = max(1, math.ceil(wait))
    return RateLimitError(f"Too many requests. Try again in {seconds} s.", seconds)


def client_name(address: str) -> str:
    """Give the name under which a client is counted: its IPv4 address, or its IPv6 network.

    Whoever has one IPv6 address has at least the 2^64 of its network.
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
