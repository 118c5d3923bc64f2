"""The response fields ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

import math

from fastapi import Request

from spleeter_microservice.access.rate_limit import Allowance, RateLimiter
from spleeter_microservice.errors import RateLimitError


async def take(request: Request, limiter: RateLimiter, name: str) -> Allowance:
    """Count one more under a name, and describe what is left in the response.

    Raises:
        RateLimitError: if the limit is reached.
    """
    try:
        allowance = await limiter.take(name)
    except RateLimitError as error:
        _describe(request, limiter, Allowance(0, error.retry_after))
        raise
    _describe(request, limiter, allowance)
    return allowance


def _describe(request: Request, limiter: RateLimiter, allowance: Allowance) -> None:
    name, rate = limiter.kind, limiter.rate
    request.state.headers |= {
        "RateLimit-Policy": f'"{name}";q={rate.limit};w={math.ceil(rate.period)}',
        "RateLimit": f'"{name}";r={allowance.remaining};t={math.ceil(allowance.wait)}',
    }
