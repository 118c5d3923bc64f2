"""Results can be downloaded."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.access.principal import Scope
from spleeter_microservice.jobs.claims import Failure
from spleeter_microservice.jobs.job import Job, JobOptions, StoredStem
from spleeter_microservice.storage.store import BLOCK_BYTES
from spleeter_microservice.web.downloads.results import _member
from spleeter_microservice.web.services import Services
from tests.support.audit import audited, make_unwritable
from tests.support.job_samples import PREVIEW, cancel, new_job
from tests.support.web_service import Player

pytestmark = pytest.mark.asyncio

CONTENT = b"RIFF stem of vocals"
PEAKS = {"version": 1, "length": 2, "data": [-1, 1, -2, 2]}
OPUS = b"OggS preview"
PATHS = ("stems/vocals", "archive", "peaks/vocals", "preview/vocals", "preview/vocals/1")


@pytest_asyncio.fixture
async def job(services: Services, player: Player) -> Job:
    """A finished job of Ann's, whose song has a name that is hard to write in a header."""
    await services.repository.create(new_job(input_name='Größe "1".mp3'))
    claim = await player.claim()
    await player.publish(claim, preview=PREVIEW)
    job = claim.job
    await put(services, f"{job.prefix}/peaks/vocals.json", json.dumps(PEAKS).encode())
    for segment in (0, 1, None):
        await put(services, job.preview_key("vocals", segment), OPUS)
    return await services.repository.get("ann", job.id)


async def put(services: Services, key: str, content: bytes) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await services.storage.put(key, chunks(), max_bytes=len(content))


def path(job: Job, rest: str = "stems/vocals") -> str:
    return f"/v1/separations/{job.id}/{rest}"


def vocals(job: Job) -> StoredStem:
    assert job.result
    return job.result.stems[0]


async def test_a_stem_is_returned_whole_with_all_headers(ann: httpx.AsyncClient, job: Job) -> None:
    answer = await ann.get(path(job))
    assert (answer.status_code, answer.content) == (200, CONTENT)
    expected = {
        "content-type": "audio/wav",
        "content-length": str(len(CONTENT)),
        "accept-ranges": "bytes",
        "etag": f'"{hashlib.sha256(CONTENT).hexdigest()}"',
        "cache-control": "private, no-cache",
        "content-disposition": 'attachment; filename="Groe _1_ - vocals.wav"; '
        "filename*=UTF-8''Gr%C3%B6%C3%9Fe%20_1_%20-%20vocals.wav",
    }
    assert {name: answer.headers[name] for name in expected} == expected


async def test_clients_that_know_only_bytes_get_bytes(ann: httpx.AsyncClient, job: Job) -> None:
    accepting = {"Accept": "application/octet-stream"}
    for rest in ("stems/vocals", "archive"):
        answers = [
            await ann.request(method, path(job, rest), headers=accepting) for method in ("GET", "HEAD")
        ]
        assert {answer.headers["content-type"] for answer in answers} == {"application/octet-stream"}


async def test_an_archive_is_always_sent_whole(ann: httpx.AsyncClient, job: Job) -> None:
    answer = await ann.get(path(job, "archive"), headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none")
    assert answer.content.startswith(b"PK")


async def test_head_returns_the_headers_of_get(ann: httpx.AsyncClient, job: Job) -> None:
    for rest in ("stems/vocals", "archive"):
        whole = await ann.get(path(job, rest))
        answer = await ann.head(path(job, rest), headers={"Range": "bytes=0-1"})
        assert (answer.status_code, answer.content) == (200, b"")
        for name in ("content-type", "content-length", "etag", "content-disposition", "cache-control"):
            assert answer.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    ("range_header", "start", "stop"),
    [("bytes=0-3", 0, 4), ("bytes=5-", 5, 19), ("bytes=-6", 13, 19), ("bytes=18-99", 18, 19)],
)
async def test_a_range_returns_only_its_bytes(
    ann: httpx.AsyncClient, job: Job, range_header: str, start: int, stop: int
) -> None:
    answer = await ann.get(path(job), headers={"Range": range_header})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.headers["etag"] == f'"{vocals(job).sha256}"'


async def test_a_large_stem_can_be_assembled_from_ranges(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    content = bytes(range(251)) * (2 * BLOCK_BYTES // 251) + b"end"
    await services.repository.create(new_job())
    job = await player.separate(content)
    whole = content + b"vocals"
    middle = len(whole) // 2
    first = await ann.get(path(job), headers={"Range": f"bytes=0-{middle - 1}"})
    second = await ann.get(
        path(job), headers={"Range": f"bytes={middle}-", "If-Range": first.headers["etag"]}
    )
    assert (first.status_code, second.status_code) == (206, 206)
    assert first.content + second.content == whole
    assert (await ann.get(path(job))).content == whole


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,3-4"},
        {"Range": "seconds=0-1"},
        {"Range": "bytes=0-1", "If-Range": '"another"'},
        {"Range": "bytes=4-2"},
    ],
)
async def test_anything_but_a_single_range_of_this_version_returns_the_whole_file(
    ann: httpx.AsyncClient, job: Job, headers: dict[str, str]
) -> None:
    answer = await ann.get(path(job), headers=headers)
    assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_a_range_beyond_the_end_is_refused_with_the_size(ann: httpx.AsyncClient, job: Job) -> None:
    answer = await ann.get(path(job), headers={"Range": "bytes=19-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */19"
    assert answer.json()["type"] == "/problems/unsatisfiable-range"


@pytest.mark.parametrize("rest", PATHS)
async def test_an_unchanged_file_is_not_sent_again(ann: httpx.AsyncClient, job: Job, rest: str) -> None:
    whole = await ann.get(path(job, rest))
    headers = {"If-None-Match": f'"x", {whole.headers["etag"]}', "Range": "bytes=99-"}
    answer = await ann.get(path(job, rest), headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == whole.headers["etag"]
    assert answer.headers["cache-control"] == whole.headers["cache-control"] == "private, no-cache"
    assert (await ann.get(path(job, rest), headers={"If-None-Match": '"x"'})).status_code == 200


async def test_the_archive_contains_every_stem(ann: httpx.AsyncClient, job: Job) -> None:
    answer = await ann.get(path(job, "archive"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe%20_1_.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["Größe _1_/vocals.wav", "Größe _1_/accompaniment.wav"]
        assert archive.read("Größe _1_/vocals.wav") == CONTENT


async def test_peaks_are_returned_as_stored(ann: httpx.AsyncClient, job: Job) -> None:
    answer = await ann.get(path(job, "peaks/vocals"))
    assert (answer.status_code, answer.json()) == (200, PEAKS)
    assert answer.headers["content-type"] == "application/json"


async def test_a_preview_is_returned_as_stored_or_in_part(ann: httpx.AsyncClient, job: Job) -> None:
    for rest in ("preview/vocals", "preview/vocals/1"):
        answer = await ann.get(path(job, rest))
        assert (answer.status_code, answer.content) == (200, OPUS)
        assert answer.headers["content-type"] == "audio/ogg"
        part = await ann.get(
            path(job, rest), headers={"Range": "bytes=0-3", "If-Range": answer.headers["etag"]}
        )
        assert (part.status_code, part.content) == (206, b"OggS")
        assert part.headers["content-range"] == f"bytes 0-3/{len(OPUS)}"


async def test_segments_are_played_while_the_song_is_separated(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    await services.repository.create(new_job())
    claim = await player.claim()
    await put(services, claim.job.preview_key("vocals", 1), OPUS)
    await player.claims.progress(claim, 0.5, PREVIEW)
    assert (await ann.get(path(claim.job, "preview/vocals/1"))).content == OPUS
    for rest, status, problem, detail in (
        ("preview/vocals/2", 409, "not-ready", "The previews reach 12.5 s, up to segment 1. Try again soon."),
        ("preview/vocals", 409, "not-ready", "Wait until it has succeeded."),
        ("preview/drums/0", 404, "unknown-stem", "It has vocals."),
        ("preview/vocals/-1", 422, "invalid-fields", "segment"),
    ):
        answer = await ann.get(path(claim.job, rest))
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{problem}")
        assert detail in answer.json()["detail"]
    await player.publish(claim)  # as an older worker does, which stores no previews
    answer = await ann.get(path(claim.job, "preview/vocals/1"))
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/no-preview")


async def test_results_shared_with_another_job_are_found(
    ann: httpx.AsyncClient, services: Services, job: Job
) -> None:
    twin = new_job(content_hash=job.content_hash, input_name="twin.mp3")
    created = await services.repository.create(twin)
    assert created.job.prefix == job.prefix
    for rest in PATHS:
        assert (await ann.get(path(created.job, rest))).status_code == 200


@pytest.mark.parametrize("rest", PATHS)
async def test_only_clients_that_may_read_a_job_get_its_results(
    bob: httpx.AsyncClient, stranger: httpx.AsyncClient, services: Services, job: Job, rest: str
) -> None:
    blind, _ = await services.keys.create("ann", frozenset([Scope.SEPARATE]))
    assert (await stranger.get(path(job, rest))).status_code == 401
    assert (await stranger.get(path(job, rest), headers={"X-API-KEY": blind})).status_code == 403
    answer = await bob.get(path(job, rest))
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-separation")


@pytest.mark.parametrize(
    "rest", ["stems/drums", "stems/%2e%2e%2finput", "peaks/drums", "preview/drums", "stems/vocals.wav"]
)
async def test_an_unknown_stem_is_not_found(ann: httpx.AsyncClient, job: Job, rest: str) -> None:
    answer = await ann.get(path(job, rest))
    assert answer.status_code == 404
    assert answer.json()["type"] in ("/problems/unknown-stem", "/problems/not-found")


@pytest.mark.parametrize("rest", PATHS)
@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled"])
async def test_a_job_without_a_result_says_why(
    ann: httpx.AsyncClient, services: Services, player: Player, state: str, rest: str
) -> None:
    job = (await services.repository.create(new_job())).job
    if state in ("running", "failed"):
        claim = await player.claim()
        if state == "failed":
            await player.fail(claim, Failure("not-audio", "The file is not audio."))
    elif state == "cancelled":
        await cancel(services.database, job)
    answer = await ann.get(path(job, rest))
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not-ready")
    assert state in answer.json()["detail"]
    assert ("The file is not audio." in answer.json()["detail"]) == (state == "failed")


@pytest.mark.parametrize("rest", PATHS)
async def test_what_vanished_from_the_store_is_not_found(
    ann: httpx.AsyncClient, services: Services, job: Job, rest: str
) -> None:
    await services.storage.delete_prefix(job.prefix)
    for method in ("GET", "HEAD") if rest in ("stems/vocals", "archive") else ("GET",):
        answer = await ann.request(method, path(job, rest))
        assert answer.status_code == 404


@pytest.mark.parametrize("rest", PATHS)
async def test_nothing_starts_without_the_object_store(
    ann: httpx.AsyncClient, job: Job, tmp_path: Path, rest: str
) -> None:
    (tmp_path / "objects").rename(tmp_path / "away")
    answer = await ann.get(path(job, rest))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("rest", ["stems/vocals", "archive"])
async def test_a_download_whose_file_vanishes_is_broken_off(
    ann: httpx.AsyncClient, services: Services, player: Player, rest: str
) -> None:
    await services.repository.create(new_job())
    job = await player.separate(bytes(4 * BLOCK_BYTES))
    async with ann.stream("GET", path(job, rest)) as answer:
        assert answer.status_code == 200
        await services.storage.delete_prefix(job.prefix)
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


async def test_each_download_is_recorded_once(ann: httpx.AsyncClient, job: Job, services: Services) -> None:
    for headers in ({}, {"Range": "bytes=0-3"}, {"Range": "bytes=4-"}, {"If-None-Match": "*"}):
        await ann.get(path(job), headers=headers)
    await ann.get(path(job, "archive"))
    await ann.head(path(job, "archive"))
    found = [record for record in audited(services.database.url) if record["action"] == "result.downloaded"]
    assert [record["details"]["stem"] for record in found] == ["vocals", "vocals", "all"]
    assert {(record["tenant"], record["job"]) for record in found} == {("ann", str(job.id))}


async def test_what_cannot_be_recorded_is_not_given_out(
    ann: httpx.AsyncClient, job: Job, services: Services
) -> None:
    make_unwritable(services.database.url)
    for rest in ("stems/vocals", "archive"):
        answer = await ann.get(path(job, rest))
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/audit-unwritable")


async def test_the_name_of_a_stem_comes_from_what_was_asked_for(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    await services.repository.create(
        new_job(options=JobOptions(codec="flac", only=("vocals",)), input_name="")
    )
    job = await player.separate()
    answer = await ann.get(path(job))
    assert 'filename="song - vocals.flac"' in answer.headers["content-disposition"]
    assert (await ann.get(path(job, "stems/accompaniment"))).status_code == 404


async def test_an_archive_needs_no_second_reading_where_sums_are_known(services: Services, job: Job) -> None:
    stem = replace(vocals(job), crc32=7)
    member = await _member(services.storage, "song", stem)
    assert (member.crc32, member.size) == (7, len(CONTENT))
