"""Jobs go from the object store through a real slot and back, with small networks."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from spleeter_microservice.access.shares import Bound, Share
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    DiskFullError,
    JobTimeLimitError,
    ModelNotInstalledError,
    NotAudioError,
    ObjectNotFoundError,
    StorageUnavailableError,
    StoredTooMuchError,
)
from spleeter_microservice.jobs.job import Job, JobOptions, Preview, Result, State
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.storage.backends import open_backend
from spleeter_microservice.storage.objects import StoredObject
from spleeter_microservice.storage.store import Storage
from spleeter_microservice.worker.inventory import Inventory
from spleeter_microservice.worker.separate_job import JobLimits, JobSeparator
from spleeter_microservice.worker.work_folder import empty, open_work_folder
from tests.support.audio_files import RATE, encode_kind, noise, read
from tests.support.inference_models import long_song
from tests.support.job_samples import new_job
from tests.support.small_disk import small_disk
from tests.support.tiny_store import NAME, checkpoint, tiny_store
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio

STEMS = 3


class Away(Storage):
    """An object store that is away some times before it answers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(open_backend(str(folder)))
        self.times = 0

    async def get_file(self, key: str, path: Path) -> StoredObject:
        """Fail, or do as a store does."""
        if self.times:
            self.times -= 1
            raise StorageUnavailableError("away")
        return await super().get_file(key, path)


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    store = tiny_store(tmp_path_factory.mktemp("models"))
    store.import_(NAME, checkpoint(tmp_path_factory.mktemp("checkpoint")))
    return Inventory(store, "1.2.3")


@pytest.fixture
def storage(tmp_path: Path) -> Away:
    return Away(tmp_path / "objects")


@pytest_asyncio.fixture
async def slot(inventory: Inventory, tmp_path: Path) -> AsyncIterator[InferenceSlot]:
    work = tmp_path / "work"
    work.mkdir()
    model = inventory.load(NAME)
    async with InferenceSlot(model, work, models_folder=inventory.store.folder) as slot:
        yield slot


@pytest_asyncio.fixture
async def separation(
    storage: Storage, inventory: Inventory, slot: InferenceSlot, database_url: str
) -> AsyncIterator[JobSeparator]:
    async with Database(database_url, timeout=60) as database:
        objects = JobObjects(database, storage)
        yield JobSeparator(objects, inventory, [slot], JobLimits(storage_timeout=60))


def job_of(name: str = "song.mp3", **options: Any) -> Job:
    new = new_job()
    prefix = f"separations/{new.id}"
    values: Mapping[str, Any] = {
        **vars(new),
        "prefix": prefix,
        "input_key": f"{prefix}/input",
        "input_name": name,
        "options": JobOptions(stems=STEMS, **options),
        "audio_seconds": 3.0,
        "state": State.RUNNING,
    }
    known: dict[str, Any] = {item.name: values.get(item.name) for item in fields(Job)}
    return Job(**known)


async def stored(storage: Storage, job: Job, path: Path) -> Job:
    await storage.put_file(path, job.input_key, max_bytes=1 << 30)
    return job


class Reports:
    """What a separation has reported."""

    def __init__(self) -> None:
        self.progress: list[float] = []
        self.previews: list[Preview] = []

    def __call__(self, progress: float, preview: Preview | None = None) -> None:
        """Note a report."""
        self.progress.append(progress)
        self.previews += [preview] if preview else []


async def done(separation: JobSeparator, job: Job) -> tuple[Result, list[float]]:
    reports = Reports()
    return await separation(job, reports), sorted(reports.progress)


async def content(storage: Storage, key: str) -> bytes:
    return b"".join([block async for block in await storage.get(key)])


async def test_a_full_work_folder_is_waited_out(
    storage: Storage, inventory: Inventory, database_url: str, tmp_path: Path, song: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    waiting = "waiting to go on with a job"
    with small_disk(tmp_path / "small", megabytes=4) as disk:
        model = inventory.load(NAME)
        async with (
            Database(database_url, timeout=60) as database,
            InferenceSlot(model, disk.folder, models_folder=inventory.store.folder) as slot,
        ):
            separation = JobSeparator(
                JobObjects(database, storage), inventory, [slot], JobLimits(storage_timeout=60)
            )
            job = await stored(storage, job_of(), song)
            for room in (0, 200_000):  # no space for the song, none for the stems
                caplog.clear()
                disk.fill(room)
                separating = asyncio.ensure_future(done(separation, job))
                await eventually(lambda: waiting in caplog.text)
                disk.free()
                result, _ = await separating
                assert len(result.stems) == 3
                assert disk.files() == []
            disk.fill()
            separation.limits = JobLimits(storage_timeout=0)
            with pytest.raises(DiskFullError):
                await done(separation, job)
            assert disk.files() == []


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return encode_kind(tmp_path / "song.mp3", noise(3 * RATE), "mp3")


async def test_stems_that_are_much_larger_than_expected_are_refused_beyond_the_tenants_bound(
    separation: JobSeparator, storage: Away, song: Path
) -> None:
    full = Bound(Share.STORED_BYTES, 0, 0)
    separation.limits = JobLimits(stored=full)
    wav = int(3.1 * 4 * RATE)  # bytes of a stem, with what encoding the song has added
    job = await stored(storage, replace(job_of(), expected_bytes=STEMS * wav // 2 - RATE), song)
    with pytest.raises(StoredTooMuchError, match=r"You have .* stored or expected"):
        await done(separation, job)
    await done(separation, replace(job, expected_bytes=STEMS * wav))


async def test_stems_and_peaks_are_stored_under_keys_derived_from_the_job(
    separation: JobSeparator, storage: Away, song: Path, tmp_path: Path, slot: InferenceSlot
) -> None:
    job = await stored(storage, job_of(), song)
    result, seen = await done(separation, job)
    names = [stem.name for stem in result.stems]
    assert names == ["vocals", "drums", "other"]
    for stem in result.stems:
        assert stem.key == f"{job.prefix}/stems/{stem.name}.wav"
        data = await content(storage, stem.key)
        assert (len(data), stem.media_type) == (stem.size, "audio/wav")
        (tmp_path / "stem.wav").write_bytes(data)
        waveform = read(tmp_path / "stem.wav")
        peaks = json.loads(await content(storage, f"{job.prefix}/peaks/{stem.name}.json"))
        assert (peaks["version"], peaks["bits"], peaks["channels"]) == (1, 8, 1)
        assert peaks["length"] * peaks["samples_per_pixel"] >= len(waveform)
        assert max(peaks["data"]) == pytest.approx(127 * waveform.max(), abs=1)
    assert (result.model, result.details["version"], result.details["model_quality"]) == (
        *(NAME, "1.2.3"),
        "official",
    )
    assert set(result.quality["stems"]) == set(names)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert list(slot.work_folder.iterdir()) == []


async def test_a_second_job_in_the_same_process_works_like_the_first(
    separation: JobSeparator, storage: Away, song: Path, slot: InferenceSlot
) -> None:
    pid = slot.pid
    for _ in range(2):
        await done(separation, await stored(storage, job_of(), song))
    assert slot.pid == pid


async def test_only_the_requested_stems_are_stored(
    separation: JobSeparator, storage: Away, song: Path
) -> None:
    job = await stored(storage, job_of(only=("drums",), codec="flac"), song)
    result, _ = await done(separation, job)
    assert [stem.key for stem in result.stems] == [f"{job.prefix}/stems/drums.flac"]
    keys = {found.key async for found in storage.list(job.prefix)}
    previews = {job.preview_key("drums"), job.preview_key("drums", 0)}
    assert keys == previews | {
        job.input_key, f"{job.prefix}/stems/drums.flac", f"{job.prefix}/peaks/drums.json"
    }  # fmt: skip


async def test_previews_are_stored_and_reported_segment_by_segment(
    separation: JobSeparator, storage: Away, inventory: Inventory, slot: InferenceSlot, database_url: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    song = encode_kind(tmp_path / "song.wav", noise(21 * RATE), "s16.wav")
    job = await stored(storage, replace(job_of(only=("drums", "vocals")), fence=7, audio_seconds=21.0), song)
    reports = Reports()
    await separation(job, reports)
    outputs = ["vocals", "drums"]
    assert reports.previews == [
        Preview(outputs, 1, 10, 10),
        Preview(outputs, 2, 20, 10),
        Preview(outputs, 3, 21.0, 10),
        Preview(outputs, 3, 21.0, 10),
    ]
    for name in outputs:
        waveforms = []
        for part in (0, 1, 2, None):
            (tmp_path / "part.opus").write_bytes(await content(storage, job.preview_key(name, part)))
            waveforms.append(read(tmp_path / "part.opus", sample_rate=48_000))
        assert [len(waveform) / 48_000 for waveform in waveforms] == [10, 10, 1, 21]
    async with Database(database_url, timeout=60) as database:
        silent = JobSeparator(JobObjects(database, storage), inventory, [slot], previews=False)
        other, reports = await stored(storage, job_of(), song), Reports()
        await silent(other, reports)
    assert reports.previews == []
    assert [found.key async for found in storage.list(f"{other.prefix}/previews")] == []


async def test_a_mix_is_stored_without_its_stems(separation: JobSeparator, storage: Away, song: Path) -> None:
    mixes: dict[str, Any] = {"only": ("half",), "mixes": {"half": "vocals@-6"}, "without": ("drums",)}
    job = await stored(storage, replace(job_of(**mixes, level="-9"), fence=1), song)
    result, _ = await done(separation, job)
    assert [stem.name for stem in result.stems] == ["half", "no_drums"]
    keys = {found.key async for found in storage.list(job.prefix)} - {job.input_key}
    assert keys == {f"{job.prefix}/{rest}" for name in ("half", "no_drums") for rest in (
        f"stems/{name}.wav", f"peaks/{name}.json", f"previews/1/{name}.opus", f"previews/1/{name}/0.opus",
    )}  # fmt: skip
    assert set(result.quality["mixes"]) == {"half", "no_drums"}
    assert len({mix["gain"] for mix in result.quality["mixes"].values()} - {0}) == 1
    assert result.quality["stems"] == {}


async def test_an_input_that_is_not_audio_fails_under_the_name_that_the_client_sent(
    separation: JobSeparator, storage: Away, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(b"no sound at all" * 100)
    job = await stored(storage, job_of("../my song.mp3"), tmp_path / "text")
    with pytest.raises(NotAudioError, match=r"my song\.mp3 is not in a known audio format") as caught:
        await done(separation, job)
    assert str(tmp_path) not in str(caught.value)


async def test_a_running_job_stops_and_leaves_a_working_slot(
    separation: JobSeparator, storage: Away, song: Path, tmp_path: Path, slot: InferenceSlot
) -> None:
    job = await stored(storage, job_of(), long_song(tmp_path))
    reports = Reports()
    working = asyncio.create_task(separation(job, reports))
    await eventually(lambda: reports.previews)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert list(slot.work_folder.iterdir()) == []
    await done(separation, await stored(storage, job_of(), song))


async def test_a_short_outage_of_the_object_store_is_waited_out_and_a_long_one_is_not(
    separation: JobSeparator, storage: Away, song: Path
) -> None:
    job = await stored(storage, job_of(), song)
    storage.times = 2
    await done(separation, job)
    storage.times = 1000
    separation.limits = replace(separation.limits, storage_timeout=0.5)
    with pytest.raises(StorageUnavailableError):
        await done(separation, job)


async def test_a_missing_input_and_a_missing_model_are_reported(
    separation: JobSeparator, storage: Away, song: Path
) -> None:
    with pytest.raises(ObjectNotFoundError):
        await done(separation, job_of())
    job = await stored(storage, job_of(), song)
    five = replace(job, options=replace(job.options, stems=5))
    with pytest.raises(ModelNotInstalledError, match="models pull 5stems"):
        await done(separation, five)


async def test_a_job_that_takes_too_long_fails_with_that_reason(
    separation: JobSeparator, storage: Away, tmp_path: Path
) -> None:
    separation.limits = replace(separation.limits, seconds=0.2)
    with pytest.raises(JobTimeLimitError):
        await done(separation, await stored(storage, job_of(), long_song(tmp_path)))


async def test_the_result_version_that_a_job_was_created_for_is_used_while_installed(
    inventory: Inventory,
) -> None:
    models = {model.name: model for model in inventory.models()}
    wide = models[f"{NAME}-16kHz"]
    assert inventory.choose(wide.result_version, STEMS, "official") == wide
    assert inventory.choose("another:result_version", STEMS, "official") == models[NAME]
    assert wide.result_version != models[NAME].result_version
    assert inventory.load(wide.name).files.config["bins"] == 1536


async def test_each_process_has_its_own_empty_work_folder(tmp_path: Path) -> None:
    (tmp_path / "0" / "left" / "over").mkdir(parents=True)
    (tmp_path / "1").mkdir()
    (tmp_path / "1.lock").touch()
    with open_work_folder(tmp_path) as one:
        assert (one.name, list(one.iterdir())) == ("0", [])
        assert not (tmp_path / "1").exists()
        with open_work_folder(tmp_path) as other:
            assert other.name == "1"
    assert not one.exists()


async def test_emptying_a_directory_keeps_the_directory_itself(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "below").mkdir(parents=True)
    (folder / "file").touch()
    before = folder.stat().st_ino
    empty(folder)
    assert (folder.stat().st_ino, list(folder.iterdir())) == (before, [])
