"""The response fields ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from spleeter_microservice.access.rate_limit import Allowance, RateLimiter
from spleeter_microservice.errors import RateLimitError


async def take(request: Request, limiter: RateLimiter, name: str) -> Allowance:
    """Count one more under a name, and describe what is left in the response.

    Raises:
        RateLimitError: if the limit is reached.
    """
    with _describing_refusal(request, limiter):
        allowance = await limiter.take(name)
    _describe(request, limiter, allowance)
    return allowance


async def check(request: Request, limiter: RateLimiter, name: str) -> None:
    """Check a limit without counting.

    Raises:
        RateLimitError: if the limit is reached.
    """
    with _describing_refusal(request, limiter):
        await limiter.check(name)


@contextmanager
def _describing_refusal(request: Request, limiter: RateLimiter) -> Iterator[None]:
    try:
        yield
    except RateLimitError as error:
        _describe(request, limiter, Allowance(0, error.retry_after))
        raise


def _describe(request: Request, limiter: RateLimiter, allowance: Allowance) -> None:
    name, rate = limiter.kind, limiter.rate
    request.state.headers = {
        "RateLimit-Policy": f'"{name}";q={rate.limit};w={math.ceil(rate.period)}',
        "RateLimit": f'"{name}";r={allowance.remaining};t={math.ceil(allowance.wait)}',
    }
