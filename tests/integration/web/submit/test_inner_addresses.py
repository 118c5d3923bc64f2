"""Addresses inside the service's own network are refused in every spelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest

from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.web.services import Services
from tests.support.audit import audited
from tests.support.web_service import song

pytestmark = pytest.mark.asyncio

PUBLIC, WITHIN = "93.184.216.34", "10.0.0.7"
NAMES = {
    "within.example": [WITHIN],
    "both.example": [PUBLIC, WITHIN],
    "mapped.example": ["::ffff:127.0.0.1"],
    "loopback.example": ["127.0.0.1"],
}


async def resolver(host: str, port: int) -> Sequence[str]:
    return NAMES[host]


@pytest.fixture
def services(services: Services) -> Services:
    """The services, fetching songs, with a resolver that knows bad names."""
    policy = UrlPolicy(resolver=resolver)
    config = replace(services.config, signing_webhooks=True)
    return replace(services, config=config, url_policy=policy, outgoing=Outgoing(policy))


SPELLINGS = (
    "http://127.0.0.1/a.wav",
    "http://localhost./a.wav",
    "http://2130706433/a.wav",
    "http://0177.0.0.1/a.wav",
    "http://0x7f.1/a.wav",
    "http://[::1]/a.wav",
    "http://[::ffff:169.254.169.254]/a.wav",
    "http://[64:ff9b::a00:7]/a.wav",
    "http://169.254.169.254/latest/a.wav",
    "http://user@93.184.216.34/a.wav",
    "http://93.184.216.34:22/a.wav",
    "http://\uff11\uff12\uff17.0.0.1/a.wav",
)


@pytest.mark.parametrize("url", [*SPELLINGS, *(f"http://{name}/a.wav" for name in NAMES)])
async def test_no_song_is_fetched_from_an_inner_address(
    ann: httpx.AsyncClient, services: Services, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name counts by all that it means; what was tried is recorded, and what was found not told."""
    monkeypatch.setitem(NAMES, "localhost", ["127.0.0.1"])
    answer = await ann.post("/v1/separations", json={"source_url": url})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/forbidden-address"), answer.text
    assert WITHIN not in answer.text
    (event,) = audited(services.database.url)
    assert (event["action"], event["details"]["problem"]) == ("upload.refused", "forbidden-address")


@pytest.mark.parametrize("url", [one for one in SPELLINGS if "localhost" not in one])
async def test_no_webhook_to_an_inner_address_is_accepted(ann: httpx.AsyncClient, url: str) -> None:
    """Of names that is told when the webhook is sent: they may mean another address by then."""
    answer = await ann.post("/v1/separations", files={"file": ("a.wav", song())}, data={"callback_url": url})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/forbidden-address"), answer.text
    assert answer.json()["errors"][0]["field"] == "callback_url"
