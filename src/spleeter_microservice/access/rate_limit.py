"""How often somebody may do something: requests per tenant, failed attempts per address."""

from __future__ import annotations

import ipaddress
import math
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
