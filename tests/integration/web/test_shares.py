"""No tenant can take another's share of a process, and what it held is free again once its clients leave."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from threading import Event

import httpx
import pytest

from spleeter_microservice.access.shares import Share
from spleeter_microservice.access.signed_urls import SignedUrls
from spleeter_microservice.database.connection import Database
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.web.services import Services
from tests.support.http_servers import serving, stall
from tests.support.raw_http import connected, request
from tests.support.waiting import eventually
from tests.support.web_service import Player, WorkerRegistry, build_services, shares, song

pytestmark = pytest.mark.asyncio

PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + song()
FORM = {"Content_Type": "multipart/form-data; boundary=x", "Content_Length": 50_000}
ENOUGH = bytes(16 << 20)  # more than the system's buffers hold


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    policy = UrlPolicy(ports=frozenset(range(1, 65536)), inner=(InnerTarget(ip_network("127.0.0.1")),))
    few = shares(max_uploads=3, max_fetches=2, max_downloads=2, max_event_streams=2)
    signing = SignedUrls([b"a key of this test, and of no other one"])
    plain = build_services(
        database, tmp_path, fleet, outgoing=Outgoing(policy), url_policy=policy, signed_urls=signing
    )
    return replace(plain, shares=few)


@pytest.mark.parametrize(
    ("share", "call", "code"),
    [
        (Share.UPLOADS, "POST /v1/separations", "too-many-uploads"),
        (Share.FETCHES, "POST /v1/separations", "too-many-fetches"),
        (Share.EVENT_STREAMS, "GET {queued}/events", "too-many-streams"),
        (Share.DOWNLOADS, "GET {done}/stems/vocals", "too-many-downloads"),
        (Share.DOWNLOADS, "GET {done}/archive", "too-many-downloads"),
        (Share.DOWNLOADS, "GET {signed}", "too-many-downloads"),
        (Share.DOWNLOADS, "POST /separate", "too-many-downloads"),
    ],
)
async def test_a_tenant_has_no_more_than_its_share(
    ann: httpx.AsyncClient,
    bob: httpx.AsyncClient,
    address: str,
    player: Player,
    share: Share,
    call: str,
    code: str,
) -> None:
    async def submit(client: httpx.AsyncClient, seed: int) -> str:
        answer = await client.post("/v1/separations", files={"file": ("a.wav", song(seed=seed))})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["url"])

    async def held() -> dict[str, int]:
        found: dict[str, int] = (await ann.get("/v1/limits")).json()["shares"][share]
        return found

    async def holds(count: int) -> bool:
        return (await held())["used"] == count

    paths = {"done": await submit(ann, 1)}
    await player.separate(ENOUGH)
    paths["signed"] = (await ann.get(paths["done"])).json()["stems"][0]["signed_url"]
    paths["queued"] = await submit(ann, 2)
    released = Event()
    with serving(stall(song(), released)) as origin:
        url = json.dumps({"source_url": origin.url}).encode()
        body = b""
        fields: dict[str, object] = {"X_API_KEY": ann.headers["x-api-key"]} if "signed" not in call else {}
        if share is Share.FETCHES:
            body, fields = url, fields | {"Content_Type": "application/json", "Content_Length": len(url)}
        elif call.startswith("POST"):
            body, fields = PART, fields | FORM
        sent = request(call.format(**paths), **fields) + body
        async with AsyncExitStack() as stack:
            for count in range(1, (await held())["limit"] + 1):
                await (await stack.enter_async_context(connected(address))).send(sent)
                await eventually(partial(holds, count))
            async with connected(address) as third:
                await third.send(sent)
                status, headers, problem = await third.answer()
            assert (status, json.loads(problem)["type"]) == (429, f"/problems/{code}")
            assert headers["retry-after"] == "5"
            await submit(bob, 3)
        await eventually(partial(holds, 0))
        released.set()
