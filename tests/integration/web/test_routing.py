"""Every route answers HEAD beside GET, and refuses query fields that it does not know."""

from __future__ import annotations

import httpx
import pytest

from spleeter_microservice.web.services import Services
from tests.support.job_samples import new_job
from tests.support.web_service import Player, song

pytestmark = pytest.mark.asyncio


async def test_head_is_answered_like_get(ann: httpx.AsyncClient, services: Services, player: Player) -> None:
    document = (await ann.get("/openapi.json")).json()
    ended = (await services.repository.create(new_job())).job
    await player.separate()
    paths = [path for path, item in document["paths"].items() if "get" in item]
    assert len(paths) > 10
    for path in [*paths, "/", "/openapi.json"]:
        url = path.format(id=ended.id, stem="vocals", segment=0)
        (whole, head) = [await ann.request(method, url) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        assert head.headers["content-type"] == whole.headers["content-type"], path


async def test_the_document_of_the_api_is_sent_only_to_whoever_does_not_have_it(
    stranger: httpx.AsyncClient,
) -> None:
    answer = await stranger.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["servers"][0]["url"] == "/"
    again = await stranger.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_head_of_running_events_has_an_end(ann: httpx.AsyncClient) -> None:
    job = (await ann.post("/v1/separations", files={"file": ("a.wav", song())})).json()
    answer = await ann.head(job["events_url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (await ann.head("/v1/models")).status_code == 200  # over the same connection
    assert (await ann.put("/v1/models")).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("method", "url", "field"),
    [
        ("POST", "/separate?stems=4", "stems"),
        ("POST", "/separate?only=vocals&stem=vocals", "only"),
        ("POST", "/v1/separations?stem=vocals", "stem"),
        ("GET", "/v1/separations?limt=4", "limt"),
        ("HEAD", "/v1/separations?limt=4", "limt"),
        ("GET", "/v1/models?all=1", "all"),
        ("DELETE", "/v1/separations/00000000-0000-0000-0000-000000000001?force=1", "force"),
    ],
)
async def test_unknown_query_fields_are_refused(
    ann: httpx.AsyncClient, stranger: httpx.AsyncClient, method: str, url: str, field: str
) -> None:
    answer = await ann.request(method, url)
    assert answer.status_code == 422
    if method != "HEAD":
        assert answer.json()["type"] == "/problems/invalid-fields"
        assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert (await stranger.request(method, url)).status_code == 401
