"""Files longer than they announce, and recordings without a length, pass through a real prober and worker."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.jobs.job import Job
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.sandbox.inference import OnProgress
from spleeter_microservice.sandbox.messages import SeparationRequest
from spleeter_microservice.sandbox.prober import Prober
from spleeter_microservice.separation.result import SeparatedSong
from spleeter_microservice.web.services import Services
from spleeter_microservice.worker.attempt import Outcome
from spleeter_microservice.worker.separate_job import JobLimits
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.tiny_fleet import TinyWorker, ended, install, working

pytestmark = pytest.mark.asyncio

LIMIT, SECONDS = 4.0, 8.0


@pytest_asyncio.fixture
async def services(services: Services) -> AsyncIterator[Services]:
    async with Prober(services.config.spool) as prober:
        fleet, config = WorkerRegistry(services.database), replace(services.config, max_duration=LIMIT)
        yield replace(services, config=config, prober=prober, workers=fleet)


@pytest.fixture
def observed() -> list[tuple[str, float]]:
    """The outcome and the seconds of audio of every attempt."""
    return []


@pytest_asyncio.fixture
async def worker(
    services: Services, tmp_path: Path, observed: list[tuple[str, float]]
) -> AsyncIterator[TinyWorker]:
    def observe(job: Job, outcome: Outcome, _: float) -> None:
        observed.append((outcome.value, job.audio_seconds))

    limits = JobLimits(audio_seconds=LIMIT)
    async with working(services, install(tmp_path), tmp_path / "work", limits, observe) as running:
        yield running


def short_mp3(data: bytes) -> bytes:
    """Make the Xing header announce three frames."""
    place = data.index(b"Xing") + 8
    return data[:place] + struct.pack(">I", 3) + data[place + 4 :]


def short_flac(data: bytes) -> bytes:
    """Make STREAMINFO announce 1000 samples."""
    return data[:21] + bytes([data[21] & 0xF0]) + struct.pack(">I", 1000) + data[26:]


@pytest.mark.parametrize(("kind", "shorten"), [("vbr.mp3", short_mp3), ("flac", short_flac)])
async def test_a_song_longer_than_announced_and_allowed_fails(
    ann: httpx.AsyncClient,
    worker: TinyWorker,
    tmp_path: Path,
    kind: str,
    shorten: Callable[[bytes], bytes],
) -> None:
    honest = encode_kind(tmp_path / f"song.{kind}", noise(round(SECONDS * RATE)), kind).read_bytes()
    answer = await ann.post("/v1/separations", files={"file": (f"song.{kind}", honest)})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/too-long")
    answer = await ann.post("/v1/separations", files={"file": (f"song.{kind}", shorten(honest))})
    assert answer.status_code == 202, answer.text  # only decoding all of it tells
    job = await ended(ann, answer)
    assert (job["state"], job["error"]["type"]) == ("failed", "/problems/too-long")
    assert "longer than the limit of 4 s, which its header does not state" in job["error"]["message"]
    part = {"file": (f"song.{kind}", shorten(honest))}
    job = await ended(ann, await ann.post("/v1/separations", files=part, data={"duration": "0.02"}))
    assert job["state"] == "succeeded", job["error"]


async def test_a_recording_without_a_length_is_separated_up_to_the_limit(
    ann: httpx.AsyncClient,
    worker: TinyWorker,
    services: Services,
    observed: list[tuple[str, float]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    separated: list[float] = []
    separate = worker.slot.separate

    async def watched(request: SeparationRequest, *progress: OnProgress) -> SeparatedSong:
        result = await separate(request, *progress)
        separated.append(result.duration)
        return result

    monkeypatch.setattr(worker.slot, "separate", watched)
    length = 48_000 / RATE  # the samples are meant for another rate
    for seconds in (SECONDS, 3.0):
        path = encode_kind(tmp_path / "recording", noise(round(seconds * length * RATE)), "live.webm")
        recording = {"file": ("recording", path.read_bytes())}
        job = await ended(ann, await ann.post("/v1/separations", files=recording))
        answer = await ann.post("/separate", files=recording)
        if seconds > LIMIT:
            assert (job["state"], job["error"]["type"]) == ("failed", "/problems/too-long")
            assert (answer.status_code, answer.json()["type"]) == (422, "/problems/too-long")
            stored = [item.key async for item in services.storage.list()]
            assert not any("/stems/" in key for key in stored), stored
        else:
            assert (job["state"], job["input"]["seconds"]) == ("succeeded", pytest.approx(seconds, abs=0.03))
            assert answer.status_code == 200, answer.text
    # Not all of it is separated, to find out that it is too long.
    assert separated == [LIMIT + 1] * 2 + [pytest.approx(3.0, abs=0.03)]  # the last is served from the first
    assert [outcome for outcome, _ in observed] == ["failed", "failed", "succeeded"]
    assert observed[-1][1] == pytest.approx(3.0, abs=0.03)
    assert list(worker.work.iterdir()) == []
