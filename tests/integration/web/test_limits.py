"""Callers can ask what they may send and how much of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from spleeter_microservice.access.rate_limit import Rate
from spleeter_microservice.access.shares import Share
from spleeter_microservice.separation.presets import PRESETS
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.memory_access import MemoryRateLimiter
from tests.support.web_service import Player, served, song

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
    formats = {each["codec"]: each for each in limits["formats"]}
    assert list(formats) == limits["codecs"]
    assert (formats["flac"]["bit_depths"], formats["flac"]["bitrates"]) == (["16", "24"], None)
    bitrates = formats["opus"]["bitrates"]
    assert bitrates == {"minimum": 6000, "maximum": 510_000, "default": "128k", "steps": []}
    assert limits["estimate"] is None


async def test_presets_can_be_listed_and_chosen(ann: httpx.AsyncClient) -> None:
    presets = (await ann.get("/v1/presets")).json()["presets"]
    assert [preset["name"] for preset in presets] == [*PRESETS]
    answer = await ann.post("/v1/separations", files={"file": ("a.wav", song())}, data={"preset": "karaoke"})
    karaoke = presets[0]
    assert karaoke["purpose"]
    options = answer.json()["options"]
    assert options["preset"] == "karaoke"
    assert {name: options[name] for name in karaoke["options"]} == karaoke["options"]


async def test_extensions_are_those_that_the_operator_allows(
    ann: httpx.AsyncClient, services: Services
) -> None:
    strict = replace(services, config=replace(services.config, allowed_extensions=frozenset({"wav", "flac"})))
    async with served(create_app(strict)) as url:
        limits = (await ann.get(f"{url}/v1/limits")).json()
    assert (limits["extensions"], limits["any_name"]) == (["flac", "wav"], False)


async def test_limits_say_when_a_song_would_be_done(ann: httpx.AsyncClient, services: Services) -> None:
    query = {"seconds": "240", "model": "2stems"}
    estimate = (await ann.get("/v1/limits", params=query)).json()["estimate"]
    assert estimate == {
        "position": 1, "audio_seconds_ahead": 0, "estimated_seconds": None, "done_at": None
    }  # fmt: skip
    await ann.post("/v1/separations", files={"file": ("a.wav", song())})
    await Player(services).separate()
    await ann.post("/v1/separations", files={"file": ("b.wav", song(seed=1))})
    before = datetime.now(UTC)
    estimate = (await ann.get("/v1/limits", params=query)).json()["estimate"]
    assert (estimate["position"], estimate["audio_seconds_ahead"]) == (2, 1)
    assert (await ann.get("/v1/limits?seconds=60&model=5stems")).json()["estimate"] is None
    done = datetime.fromisoformat(estimate["done_at"]) - timedelta(seconds=estimate["estimated_seconds"])
    assert before <= done <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"seconds": "0"}, "seconds"),
        ({"seconds": "nan"}, "seconds"),
        ({"seconds": "60", "model": "9stems"}, "model"),
    ],
)
async def test_an_estimate_needs_seconds_and_a_model(
    ann: httpx.AsyncClient, query: dict[str, str], field: str
) -> None:
    answer = await ann.get("/v1/limits", params=query)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
