"""Damaged files pass through a real API, prober and worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.jobs.job import State
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.sandbox.prober import Prober
from spleeter_microservice.web.services import Services
from tests.support.audio_files import encode_kind, noise
from tests.support.damage import mutations
from tests.support.tiny_fleet import TinyWorker, ended, install, working
from tests.support.waiting import eventually
from tests.support.web_service import song

pytestmark = pytest.mark.asyncio

KINDS = (
    "s16.wav",
    "aiff",
    "mp3",
    "flac",
    "ogg",
    "opus",
    "m4a",
    "fragmented.mp4",
    "wma",
    "webm",
    "mkv",
    "aac",
)
FILES = 10 * len(KINDS)
AT_A_TIME = 4


@pytest_asyncio.fixture
async def services(services: Services) -> AsyncIterator[Services]:
    """The services with the real prober, and what workers really have."""
    async with Prober(services.config.spool) as prober:
        fleet = WorkerRegistry(services.database)
        yield replace(services, prober=prober, workers=fleet)


@pytest_asyncio.fixture
async def worker(services: Services, tmp_path: Path) -> AsyncIterator[TinyWorker]:
    async with working(services, install(tmp_path), tmp_path / "work") as running:
        yield running


@pytest.fixture
def originals(tmp_path: Path) -> dict[str, bytes]:
    """Short songs of all kinds, by file names that are taken."""
    waveform = noise(8000)
    paths = [encode_kind(tmp_path / f"song.{kind}", waveform, kind) for kind in KINDS]
    return {path.name: path.read_bytes() for path in paths}


async def test_odd_songs_are_separated_and_damaged_ones_with_a_warning_or_not_at_all(
    ann: httpx.AsyncClient, worker: TinyWorker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = (1 << 20) + (1 << 18)  # of a cover in front of the sound
    tag = b"ID3\4\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)
    for kind, name in (("mp3", "song.m4a"), ("flac", "blob")):
        path = encode_kind(tmp_path / f"song.{kind}", noise(8000), kind)
        file = {"file": (name, tag + path.read_bytes())}
        job = await ended(ann, await ann.post("/v1/separations", files=file))
        assert (job["state"], job["warnings"]) == ("succeeded", []), job["error"]
    whole = song(4, rate=8000)
    file = {"file": ("cut.wav", whole[: len(whole) // 2])}
    job = await ended(ann, await ann.post("/v1/separations", files=file))
    assert (job["state"], job["error"]) == ("succeeded", None)
    (warning,) = job["warnings"]
    assert (warning["code"], round(warning["position"])) == ("cut-off", 2)
    assert warning["message"].endswith(".")
    assert (job["details"]["track"]["number"], job["details"]["start_time"]) == (1, 0)
    (logged,) = [record for record in caplog.records if record.message == "separated with warnings"]
    assert vars(logged)["job_id"] == job["id"]
    refused = await ann.post("/separate", files=file, data={"damaged": "refuse"})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/truncated-audio")
    refused = await ann.post("/v1/separations", files=file, data={"track": "eng"})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/no-such-track")
    assert refused.json()["detail"].startswith("The file has no track 'eng'.")
    answer = await ann.post("/separate", files=file)
    assert answer.headers["spleeter-warnings"].startswith("cut-off;position=")


async def test_damaged_files_cause_no_server_error_and_leave_no_file(
    ann: httpx.AsyncClient,
    services: Services,
    worker: TinyWorker,
    originals: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """Each is refused with a reason or becomes a job that ends, and the next good song is separated."""
    answers: Counter[str] = Counter()
    turns = asyncio.Semaphore(AT_A_TIME)

    async def send(name: str, damage: str, data: bytes) -> None:
        async with turns:
            answer = await ann.post("/v1/separations", files={"file": (name, data)})
        kind = answer.json().get("type", "taken")
        answers[f"{answer.status_code} {kind}"] += 1
        assert answer.status_code in (200, 202, 415, 422), (name, damage, answer.text)

    await asyncio.gather(*(send(name, *mutation) for name, mutation in mutations(originals, FILES, seed=3)))
    assert sum(answers.values()) == FILES
    assert len(answers) > 3, answers  # the damage was of many kinds
    await idle(services)
    endings = Counter([job["state"] for job in await all_jobs(ann)])
    assert set(endings) <= {State.SUCCEEDED, State.FAILED}, endings
    assert endings[State.SUCCEEDED], endings
    assert not worker.task.done()
    good = await ann.post("/v1/separations", files={"file": ("good.wav", song())})
    await idle(services)
    ended = (await ann.get(good.headers["location"])).json()
    assert ended["state"] == State.SUCCEEDED, ended["error"]
    assert not list(services.config.spool.iterdir())
    assert not list(worker.work.iterdir())
    for job in await all_jobs(ann):
        assert (await ann.delete(job["url"])).status_code == 204
    await Retention(services.database, services.storage.delete_prefix).sweep()
    assert not [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


async def idle(services: Services) -> None:
    """Wait until nothing waits or runs."""

    async def nothing() -> bool:
        load = await services.repository.load()
        return load.queued + load.running == 0

    await eventually(nothing)


async def all_jobs(client: httpx.AsyncClient) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await client.get("/v1/separations", params={"cursor": cursor} if cursor else {})).json()
        found += page["items"]
        cursor = page["next_cursor"]
    return found
