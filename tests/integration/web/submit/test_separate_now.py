"""The simple form separates a song in one call."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from spleeter_microservice.access.principal import Scope
from spleeter_microservice.jobs.claims import Claim, Failure
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.job_samples import WARNINGS, cancel, until
from tests.support.waiting import eventually, still
from tests.support.web_service import ALL, Player, served, song

pytestmark = pytest.mark.asyncio


async def the_job(services: Services) -> Job:
    """Wait until there is a job."""
    return (await eventually(lambda: jobs(services)))[0]


async def jobs(services: Services) -> Sequence[Job]:
    return (await services.repository.page("ann")).jobs


async def no_jobs(services: Services) -> bool:
    return {job.state for job in await jobs(services)} <= {State.ERASING}


async def the_claim(services: Services, player: Player) -> Claim:
    """Wait until there is a job, and claim it."""
    await the_job(services)
    return await player.claim()


@asynccontextmanager
async def sending(
    client: httpx.AsyncClient, query: str = "", key: str | None = None, **fields: str
) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """Send a song in the background."""
    files, headers = {"file": ("My Song.wav", song())}, {"Idempotency-Key": key} if key else {}
    answer = asyncio.create_task(client.post(f"/separate{query}", files=files, data=fields, headers=headers))
    try:
        yield answer
    finally:
        answer.cancel()


async def test_all_stems_come_in_an_archive(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    async with sending(ann) as answering:
        claim = await the_claim(services, player)
        assert not answering.done()
        await player.publish(claim, warnings=WARNINGS)
        answer = await answering
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert answer.headers["spleeter-warnings"] == "gap;position=0.500, cut-off;position=2.125"
    assert answer.headers["location"] == f"/v1/separations/{claim.job.id}"
    assert 'filename="My Song.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["My Song/vocals.wav", "My Song/accompaniment.wav"]
    kept = await ann.get(answer.headers["location"])
    assert kept.json()["state"] == "succeeded"


@pytest.mark.parametrize(("name", "fields"), [("vocals", {}), ("karaoke", {"mixes": "karaoke=vocals@-18"})])
async def test_one_stem_or_mix_comes_by_itself(
    ann: httpx.AsyncClient, services: Services, player: Player, name: str, fields: dict[str, str]
) -> None:
    async with sending(ann, f"?stem={name}", codec="flac", **fields) as answering:
        await player.publish(await the_claim(services, player))
        answer = await answering
    assert (answer.status_code, answer.content) == (200, b"RIFF stem of " + name.encode())
    assert f'filename="My Song - {name}.flac"' in answer.headers["content-disposition"]
    assert answer.headers["location"]


async def test_what_was_separated_before_comes_at_once(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    async with sending(ann) as answering:
        await player.publish(await the_claim(services, player))
        first = await answering
    async with sending(ann) as answering:
        second = await answering
    assert second.status_code == 200
    assert second.headers["location"] != first.headers["location"]


@pytest.mark.parametrize(
    ("query", "fields"),
    [("?stem=drums", {}), ("?stem=vocals", {"only": "accompaniment"}), ("?stem=x", {}), ("?stem=a%20b", {})],
)
async def test_a_stem_that_will_not_be_there_is_refused_and_leaves_nothing(
    ann: httpx.AsyncClient, services: Services, query: str, fields: dict[str, str], tmp_path: Path
) -> None:
    async with sending(ann, query, **fields) as answering:
        answer = await answering
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "stem"
    assert (await services.repository.page("ann")).jobs == ()
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("kind", "status"), [("truncated-audio", 422), ("not-audio", 415), ("job-time-limit", 500), ("", 500)]
)
async def test_a_failure_is_reported_with_the_job_s_type(
    ann: httpx.AsyncClient, services: Services, player: Player, kind: str, status: int
) -> None:
    async with sending(ann) as answering:
        await player.fail(await the_claim(services, player), Failure(kind, "It ends too early."))
        answer = await answering
    assert answer.status_code == status
    problem = answer.json()
    assert problem["type"] == f"/problems/{kind or 'separation-failed'}"
    assert problem["detail"] == "It ends too early."


async def test_a_file_that_is_not_taken_is_refused_as_elsewhere(ann: httpx.AsyncClient) -> None:
    answer = await ann.post("/separate", files={"file": ("song.wav", b"not a song " * 20)})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/not-audio")


async def test_waiting_has_an_end_that_is_not_the_job_s(services: Services, player: Player) -> None:
    key, _ = await services.keys.create("ann", ALL)
    hasty = replace(services, config=replace(services.config, sync_timeout=0.1))
    async with (
        served(create_app(hasty)) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-KEY": key}) as client,
        sending(client) as answering,
    ):
        answer = await answering
        assert (answer.status_code, answer.json()["type"]) == (504, "/problems/still-running")
        assert await player.separate()
        assert (await client.get(answer.headers["location"])).json()["state"] == "succeeded"


async def test_a_stopping_service_says_where_the_job_continues(services: Services) -> None:
    key, _ = await services.keys.create("ann", ALL)
    app = create_app(services)
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, headers={"X-API-KEY": key}) as client,
        sending(client) as answering,
    ):
        job = await the_job(services)
        app.state.notification_hub.close()
        answer = await answering
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/stopping")
        assert answer.headers["location"] == f"/v1/separations/{job.id}"
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(("how", "status"), [("delete", 404), ("cancel", 409)])
async def test_a_waiting_client_is_told_that_its_job_was_deleted_or_cancelled(
    ann: httpx.AsyncClient, services: Services, how: str, status: int
) -> None:
    async with sending(ann) as answering:
        job = await the_job(services)
        if how == "delete":
            await services.repository.delete("ann", job.id)
        else:
            await cancel(services.database, job)
        assert (await answering).status_code == status


async def test_a_client_that_disconnects_ends_its_job(
    ann: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    async with sending(ann) as answering:
        job = await the_job(services)
        assert (tmp_path / "objects" / job.prefix).exists()
        answering.cancel()
        await eventually(lambda: not (tmp_path / "objects" / job.prefix).exists())
        await eventually(lambda: no_jobs(services))


async def test_a_request_with_an_idempotency_key_can_be_sent_again_after_a_disconnection(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    async with sending(ann, key="order 1") as answering:
        claim = await the_claim(services, player)
    await still(lambda: jobs(services))
    async with sending(ann, "?stem=drums", key="order 1") as answering:
        assert (await answering).status_code == 422  # and the separation stays
    async with sending(ann, "?stem=vocals", key="order 1") as answering:
        await player.publish(claim)
        answer = await answering
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (200, "true")
    assert answer.headers["location"] == f"/v1/separations/{claim.job.id}"


async def test_a_client_that_disconnects_stops_the_worker(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    async with sending(ann) as answering:
        claim = await the_claim(services, player)
        answering.cancel()
        await eventually(lambda: no_jobs(services))
        assert not await player.claims.progress(claim, 0.5)


async def test_a_client_that_has_the_response_may_disconnect(
    ann: httpx.AsyncClient, services: Services, player: Player, tmp_path: Path
) -> None:
    async with sending(ann) as answering:
        claim = await the_claim(services, player)
        await player.publish(claim)
        await answering
    await ann.aclose()
    await still(lambda: list((tmp_path / "objects" / claim.job.prefix).rglob("*")))
    assert (await until(services.repository, claim.job.id, State.SUCCEEDED)).result


@pytest.mark.parametrize("scopes", [[Scope.READ], [Scope.SEPARATE]])
async def test_both_rights_are_needed(
    stranger: httpx.AsyncClient, services: Services, scopes: list[Scope]
) -> None:
    assert (await stranger.post("/separate")).status_code == 401
    key, _ = await services.keys.create("ann", frozenset(scopes))
    files = {"file": ("song.wav", song())}
    answer = await stranger.post("/separate", files=files, headers={"X-API-KEY": key})
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/missing-scope")
    assert (await services.repository.page("ann")).jobs == ()
