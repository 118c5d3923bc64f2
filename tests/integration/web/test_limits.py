"""Callers can ask what they may send and how much of it."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from spleeter_microservice.access.rate_limit import Rate
from spleeter_microservice.access.shares import Share
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.memory_access import MemoryRateLimiter
from tests.support.web_service import served, song

pytestmark = pytest.mark.asyncio


@pytest.fixture
def services(services: Services) -> Services:
    return replace(services, requests=MemoryRateLimiter(Rate(10)))


async def test_limits_are_those_that_the_service_enforces(ann: httpx.AsyncClient, services: Services) -> None:
    await ann.post("/v1/separations", files={"file": ("a.wav", song())})
    answer = await ann.get("/v1/limits")
    limits, config = answer.json(), services.config
    assert answer.headers["ratelimit"].startswith('"requests";r=8;t=')
    assert limits["requests"] == {"limit": 10, "seconds": 60, "remaining": 8}
    assert limits["queue"] == {"limit": 1000, "remaining": 999}
    assert list(limits["shares"]) == [*Share]
    used = {share: limits["shares"][share]["used"] for share in Share if limits["shares"][share]["used"]}
    metadata = used.pop(Share.STORED_BYTES) - (2 * (176_400 + 24_000) + len(song()))  # with previews
    assert (used, 0 < metadata < 1000) == ({"queued_jobs": 1, "queued_seconds": 1}, True)
    assert limits["shares"]["queued_jobs"] == {"limit": 1000, "in_all": 10_000, "used": 1, "of_service": True}
    assert limits["shares"]["inspections"] == {"limit": 1, "in_all": 2, "used": None, "of_service": False}
    assert (limits["file_bytes"], limits["song_seconds"]) == (config.max_file_bytes, config.max_duration)
    assert {"wav", "qta", "webm"} < set(limits["extensions"])
    assert limits["any_name"]
    assert limits["models"] == ["2stems", "4stems-lite"]
    assert limits["retention_hours"] == {"default": 24, "maximum": 168}
    assert (limits["source_url"], limits["callback_url"]) == (False, False)
    assert limits["scopes"] == ["read", "separate"]


async def test_extensions_are_those_that_the_operator_allows(
    ann: httpx.AsyncClient, services: Services
) -> None:
    strict = replace(services, config=replace(services.config, allowed_extensions=frozenset({"wav", "flac"})))
    async with served(create_app(strict)) as url:
        limits = (await ann.get(f"{url}/v1/limits")).json()
    assert (limits["extensions"], limits["any_name"]) == (["flac", "wav"], False)
