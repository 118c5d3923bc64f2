"""Stems can be downloaded without a key from addresses that the service has signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.access.principal import Scope
from spleeter_microservice.access.rate_limit import Rate
from spleeter_microservice.access.signed_urls import SignedUrls
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.audit import audited
from tests.support.job_samples import new_job
from tests.support.logs import logged
from tests.support.memory_access import MemoryRateLimiter
from tests.support.web_service import Player, WorkerRegistry, build_services, served, shares, song

pytestmark = pytest.mark.asyncio

SIGNING = SignedUrls([b"a key of this test, and of no other one"])
CONTENT = b"RIFF stem of vocals"


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    return build_services(database, tmp_path, fleet, signed_urls=SIGNING)


@pytest_asyncio.fixture
async def job(services: Services, player: Player) -> Job:
    await services.repository.create(new_job())
    return await services.repository.get("ann", (await player.separate()).id)


async def signed(client: httpx.AsyncClient, job: Job) -> str:
    answer = await client.get(f"/v1/separations/{job.id}")
    assert answer.headers["cache-control"] == "no-store"
    url: str = answer.json()["stems"][0]["signed_url"]
    return url


async def test_a_signed_address_gives_the_stem_without_a_key(
    ann: httpx.AsyncClient, stranger: httpx.AsyncClient, job: Job, services: Services
) -> None:
    with logged("info") as log:
        url = await signed(ann, job)
        whole, keyed = await stranger.get(url), await ann.get(f"/v1/separations/{job.id}/stems/vocals")
        part = await stranger.get(url, headers={"Range": "bytes=5-8"})
        known = await stranger.get(url, headers={"If-None-Match": whole.headers["etag"]})
        head = await stranger.head(url)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (part.status_code, part.content, known.status_code) == (206, CONTENT[5:9], 304)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))
    same = (
        "etag",
        "content-type",
        "content-disposition",
        "cache-control",
        "accept-ranges",
        "ratelimit-policy",
    )
    assert {name: whole.headers[name] for name in same} == {name: keyed.headers[name] for name in same}
    assert whole.headers["referrer-policy"] == "no-referrer"
    assert whole.headers["cross-origin-resource-policy"] == "cross-origin"
    downloads = [entry for entry in audited(services.database.url) if entry["action"] == "result.downloaded"]
    assert next((entry["tenant"], entry["actor"]) for entry in downloads) == ("ann", "signed-url")
    assert "signature" not in log.getvalue()
    assert url.partition("signature=")[2] not in log.getvalue()


async def test_what_is_wrong_with_an_address_is_said_in_a_sentence(
    ann: httpx.AsyncClient, stranger: httpx.AsyncClient, job: Job, services: Services
) -> None:
    url = await signed(ann, job)
    path = url.partition("?")[0]
    soon = replace(SIGNING, lifetime=timedelta(seconds=-1)).query("ann", job.id, "vocals")
    cases = [
        (url[:-1], 403, "invalid-signature"),
        (path, 403, "invalid-signature"),
        (url.replace("tenant=ann", "tenant=bob"), 403, "invalid-signature"),
        (url.replace("/vocals?", "/accompaniment?"), 403, "invalid-signature"),
        (f"{path}?{soon}", 410, "expired-address"),
        (url.replace("expires=", "expires=x"), 422, "invalid-fields"),
        (f"{path[:-6]}drums?{SIGNING.query('ann', job.id, 'drums')}", 404, "unknown-stem"),
    ]
    for address, status, kind in cases:
        answer = await stranger.get(address)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), address
        assert "ann" not in answer.json()["detail"].split()
    failed = [entry for entry in audited(services.database.url) if entry["action"] == "authentication.failed"]
    assert [(entry["outcome"], entry["job"]) for entry in failed] == 4 * [("refused", str(job.id))]
    assert (await ann.delete(f"/v1/separations/{job.id}")).status_code == 204
    assert (await stranger.get(url)).json()["type"] == "/problems/unknown-separation"


async def test_a_redirect_leads_to_a_signed_address(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, stranger: httpx.AsyncClient, job: Job
) -> None:
    path = f"/v1/separations/{job.id}/stems/vocals?redirect=1"
    answer = await ann.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
    assert (await stranger.get(answer.headers["location"])).content == CONTENT
    assert (await stranger.head((await ann.head(path)).headers["location"])).status_code == 200
    assert (await bob.get(path)).status_code == 404
    assert (await ann.get(path.replace("vocals", "drums"))).status_code == 404
    assert (await ann.get(path.replace("=1", "=0"))).content == CONTENT


async def test_addresses_are_not_in_lists_nor_for_keys_that_may_not_read(
    ann: httpx.AsyncClient, services: Services, player: Player, address: str
) -> None:
    form = {"file": ("a.wav", song())}
    created = await ann.post("/v1/separations", files=form)
    await player.separate()
    assert (await ann.get(created.json()["url"])).json()["stems"][0]["signed_url"]
    assert (await ann.get("/v1/separations")).json()["items"][0]["stems"][0]["signed_url"] is None
    key, _ = await services.keys.create("ann", frozenset({Scope.SEPARATE}))
    async with httpx.AsyncClient(base_url=address, headers={"X-API-KEY": key}) as writer:
        again = await writer.post("/v1/separations", files=form)
    assert (again.status_code, again.json()["stems"][0]["signed_url"]) == (200, None)


async def test_addresses_have_the_path_of_the_proxy(services: Services, job: Job) -> None:
    key, _ = await services.keys.create("ann", frozenset({Scope.READ}))
    config = replace(services.config, root_path="/stems")
    async with (
        served(create_app(replace(services, config=config))) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-KEY": key}) as client,
    ):
        address = await signed(client, job)
        assert address.startswith("/stems/v1/signed/")
        assert (await client.get(address.removeprefix("/stems"))).content == CONTENT


async def test_holders_are_bounded_as_their_tenant_is(services: Services, job: Job) -> None:
    limited = replace(
        services,
        requests=MemoryRateLimiter(Rate(1)),
        attempts=MemoryRateLimiter(Rate(1), kind="attempts"),
        shares=shares(max_downloads=1),
    )
    query = SIGNING.query("ann", job.id, "vocals")
    async with (
        served(create_app(limited)) as url,
        httpx.AsyncClient(base_url=f"{url}/v1/signed/{job.id}") as client,
    ):
        assert [(await client.get(f"/vocals?{query}")).status_code for _ in range(2)] == [200, 429]
        assert [(await client.get("/vocals")).status_code for _ in range(2)] == [403, 429]


async def test_nothing_is_signed_without_a_key(ann: httpx.AsyncClient, services: Services, job: Job) -> None:
    object.__setattr__(services, "signed_urls", SignedUrls())
    assert await signed(ann, job) is None
    answer = await ann.get(f"/v1/separations/{job.id}/stems/vocals?redirect=true")
    assert (answer.status_code, answer.content) == (200, CONTENT)
