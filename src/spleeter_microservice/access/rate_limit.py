"""Rate limits: requests per tenant, failed attempts per client address."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import Protocol

from spleeter_microservice.errors import RateLimitError

_IPV6_SITE = 64  # bits of a customer's network; the customer chooses the other 64


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


class RateLimiter(Protocol):
    """A counter by name; ``tests/contract/access/rate_limiter.py`` tests every implementation.

    Attributes:
        rate: the limit.
        kind: what is counted.
    """

    rate: Rate
    kind: str

    async def take(self, name: str) -> Allowance:
        """Count one more, and return what is left.

        Raises:
            RateLimitError: if the limit is reached; this one is not counted then.
        """


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
