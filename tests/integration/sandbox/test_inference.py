"""Slots with real inference processes return stems and survive failures."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from spleeter_microservice import errors
from spleeter_microservice.errors import (
    ConfigurationError,
    EmptyInputError,
    InferenceCrashedError,
    InferenceStalledError,
    InferenceUnavailableError,
    JobMemoryLimitError,
    JobStoppedError,
    JobTimeLimitError,
    ModelCorruptError,
    NotAudioError,
    SelfCheckError,
)
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.sandbox import bounds
from spleeter_microservice.sandbox.inference import InferenceSlot, Limits
from spleeter_microservice.sandbox.inference_child import NICENESS
from spleeter_microservice.sandbox.messages import InferenceModel, SeparationRequest
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.result import SeparatedSong
from spleeter_microservice.separation.separator import load_separator
from spleeter_microservice.separation.song import separate_song
from spleeter_microservice.settings import Settings
from spleeter_microservice.worker.work_folder import empty
from tests.support.audio_files import KINDS, RATE, encode_kind, noise
from tests.support.inference_hooks import BUSY_READER, run_in_process
from tests.support.inference_models import long_song, request_for, song, tiny_model
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def shared_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def work(shared_work: Path) -> Path:
    empty(shared_work)
    return shared_work


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_slot(tiny: InferenceModel, shared_work: Path) -> AsyncIterator[InferenceSlot]:
    async with InferenceSlot(tiny, shared_work) as slot:
        yield slot


@pytest_asyncio.fixture(loop_scope="module")
async def slot(shared_slot: InferenceSlot, work: Path) -> InferenceSlot:
    """The slot of the module: to start one of its own would take longer than most tests."""
    await shared_slot.start()
    shared_slot.ends.clear()
    return shared_slot


@pytest.fixture
def deezer(model_settings: Settings) -> InferenceModel:
    model = find_model("2stems", ModelStore(model_settings.models_dir))
    hashes = {name: record.sha256 for name, record in model.manifest.files.items()}
    return InferenceModel(model.files, model.manifest.weights_sha256, hashes)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return long_song(tmp_path_factory.mktemp("songs"))


def linked(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    copy.hardlink_to(path)
    return copy


async def working(slot: InferenceSlot, request: SeparationRequest) -> tuple[asyncio.Task[SeparatedSong], int]:
    """Begin a job, wait until its process reports progress, and return both."""
    reported = asyncio.Event()
    task = asyncio.create_task(slot.separate(request, lambda *_: reported.set()))
    await reported.wait()
    assert slot.pid is not None
    return task, slot.pid


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_slot_returns_what_the_engine_returns(
    deezer: InferenceModel, work: Path, tmp_path: Path
) -> None:
    source = song(work, 14)
    request = request_for(source, deezer, offset=1.0, duration=12.5)
    async with InferenceSlot(deezer, work) as slot:
        result = await slot.separate(request)
    with closing(load_separator(deezer.files)) as separator:
        paths = {name: tmp_path / f"{name}.wav" for name in request.paths}
        wanted = separate_song(separator, source, paths, SeparationOptions(offset=1.0, duration=12.5))
    assert result.samples == wanted.samples == round(12.5 * RATE)
    assert result.measurements == wanted.measurements
    assert result.anomalies == wanted.anomalies
    assert result.stages.keys() == wanted.stages.keys()
    for name, stem in result.stems.items():
        assert stem.path.read_bytes() == paths[name].read_bytes()
        assert stem.measurements == wanted.stems[name].measurements


async def test_progress_is_reported_with_every_segment(
    slot: InferenceSlot, tiny: InferenceModel, work: Path
) -> None:
    seen: list[tuple[int, int | None]] = []
    request = request_for(song(work, 60), tiny)
    result = await slot.separate(request, lambda done, total, _: seen.append((done, total)))
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == result.samples == totals[-1]
    assert len({*done}) >= 5  # segments of twelve seconds


async def test_a_slot_keeps_its_process_from_job_to_job(
    slot: InferenceSlot, tiny: InferenceModel, work: Path
) -> None:
    pid = slot.pid
    request = request_for(song(work), tiny)
    results = await asyncio.gather(*(slot.separate(request) for _ in range(3)))
    assert {result.samples for result in results} == {2 * RATE}
    assert slot.pid == pid
    assert not slot.ends


async def test_a_slots_process_yields_the_processor_to_requests(slot: InferenceSlot) -> None:
    assert slot.pid is not None
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, slot.pid) == min(19, own + NICENESS)


async def test_a_request_may_name_another_model(
    slot: InferenceSlot, tiny: InferenceModel, work: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    folder = models / "two"
    other = tiny_model(folder, ("drums", "vocals"))
    async with InferenceSlot(tiny, work, models_folder=models) as wide:
        for model in (other, tiny, other):
            result = await wide.separate(request_for(song(work), model, model=model))
            assert tuple(result.stems) == model.files.stems
    with pytest.raises(ModelCorruptError):  # outside of what it may read
        await slot.separate(request_for(song(work), other, model=other))
    await slot.separate(request_for(song(work), tiny))


async def test_bad_input_is_reported_under_the_callers_name_and_keeps_the_process(
    slot: InferenceSlot, tiny: InferenceModel, work: Path
) -> None:
    pid = slot.pid
    empty, text = work / "a.mp3", work / "b.mp3"
    empty.touch()
    text.write_text("no audio at all" * 1000)
    with pytest.raises(EmptyInputError, match=r"My song\.mp3") as error:
        await slot.separate(request_for(empty, tiny, name="My song.mp3"))
    assert str(work) not in str(error.value)
    with pytest.raises(NotAudioError, match=r"b\.mp3"):
        await slot.separate(request_for(text, tiny))
    with pytest.raises(ConfigurationError, match="codec"):
        await slot.separate(request_for(song(work), tiny, codec="midi"))
    assert slot.pid == pid


async def test_cancelling_kills_and_the_next_job_runs(
    slot: InferenceSlot, tiny: InferenceModel, work: Path, long: Path
) -> None:
    task, pid = await working(slot, request_for(linked(long, work), tiny))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(pid)
    assert (await slot.separate(request_for(song(work), tiny))).samples == 2 * RATE
    assert slot.ends == {"JobStoppedError": 1}


async def test_a_failing_progress_callback_ends_the_job_and_not_the_slot(
    slot: InferenceSlot, tiny: InferenceModel, work: Path
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("no such job")

    with pytest.raises(LookupError):
        await slot.separate(request_for(song(work, 120), tiny), fail)
    await slot.separate(request_for(song(work), tiny))


async def test_the_time_limit_is_enforced(
    slot: InferenceSlot, tiny: InferenceModel, work: Path, long: Path
) -> None:
    with pytest.raises(JobTimeLimitError, match=r"longer than 0\.5 s"):
        await slot.separate(request_for(linked(long, work), tiny, time_limit=0.5))
    await slot.separate(request_for(song(work), tiny))
    assert slot.ends == {"JobTimeLimitError": 1}


async def test_the_memory_limit_is_enforced(tiny: InferenceModel, work: Path) -> None:
    """A file whose sample rate makes a short stretch of it enormous in memory."""
    async with InferenceSlot(tiny, work, limits=Limits(memory=110 << 20)) as slot:
        with pytest.raises(JobMemoryLimitError, match="110 MiB"):
            await slot.separate(request_for(song(work, 120), tiny))
        assert slot.ends == {"JobMemoryLimitError": 1}
        await slot.start()
        assert slot.pid is not None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_crash_is_reported_with_its_signal_and_the_next_job_runs(
    slot: InferenceSlot, tiny: InferenceModel, work: Path, long: Path, number: signal.Signals
) -> None:
    task, pid = await working(slot, request_for(linked(long, work), tiny))
    os.kill(pid, number)
    with pytest.raises(InferenceCrashedError, match=number.name) as error:
        await task
    assert error.value.signal == number
    await slot.separate(request_for(song(work), tiny))


async def test_a_process_killed_while_idle_is_replaced(
    slot: InferenceSlot, tiny: InferenceModel, work: Path
) -> None:
    pid = slot.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: slot.pid != pid)
    await slot.separate(request_for(song(work), tiny))
    assert slot.ends == {"InferenceCrashedError": 1}


async def test_a_stopped_process_is_killed_at_the_time_limit(
    slot: InferenceSlot, tiny: InferenceModel, work: Path
) -> None:
    assert slot.pid is not None
    os.kill(slot.pid, signal.SIGSTOP)
    with pytest.raises(JobTimeLimitError):
        await slot.separate(request_for(song(work), tiny, time_limit=0.5))
    await slot.separate(request_for(song(work), tiny))


async def test_a_process_without_progress_is_replaced_however_busy_it_is(
    tiny: InferenceModel, work: Path, long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "_SLOWER", 1)
    limits = Limits(stall_seconds=0.5)
    with monkeypatch.context() as patched:
        run_in_process(BUSY_READER, tmp_path / "hook", patched)
        slot = InferenceSlot(tiny, work, limits=limits)
        await slot.start()
    with pytest.raises(InferenceStalledError, match="no progress"):
        await slot.separate(request_for(song(work), tiny))
    task, pid = await working(slot, request_for(linked(long, work), tiny))
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(InferenceStalledError):
        await task
    assert (slot.stalls, slot.ends) == (2, {"InferenceStalledError": 2})
    monkeypatch.undo()
    await slot.separate(request_for(song(work), tiny))
    assert slot.stalls == 0
    await slot.close()


async def test_progress_does_not_wait_for_the_offset(
    tiny: InferenceModel, work: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decoded before the selection counts; the selection itself has some ten steps."""
    noted = set[tuple[int, int, int]]()
    monkeypatch.setattr(bounds.Pace, "note", lambda _, position: noted.add(position))
    async with InferenceSlot(tiny, work) as slot:
        await slot.separate(request_for(linked(long, work), tiny, offset=599.0))
    assert max(steps for _, steps, *_ in noted) > 100


async def test_files_outside_the_work_folder_are_refused(
    slot: InferenceSlot, tiny: InferenceModel, work: Path, tmp_path: Path
) -> None:
    outside = song(tmp_path)
    (work / "link.wav").symlink_to(outside)
    for source in (outside, work / "link.wav", work / ".." / outside.name):
        with pytest.raises(ValueError, match="work folder"):
            await slot.separate(request_for(source, tiny))
    request = request_for(song(work), tiny)
    with pytest.raises(ValueError, match="work folder"):
        await slot.separate(replace(request, paths={"vocals": tmp_path / "vocals.wav"}))


async def test_a_model_that_cannot_be_loaded_is_reported_at_the_start(
    tiny: InferenceModel, work: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny.files.directory, tmp_path / "broken")
    (folder / "vocals.onnx").write_bytes(b"nothing")
    slot = InferenceSlot(replace(tiny, files=replace(tiny.files, directory=folder)), work)
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        await slot.start()
    shutil.copy(tiny.files.directory / "vocals.onnx", folder)
    await slot.start()  # once it is repaired
    await slot.close()
    with pytest.raises(InferenceUnavailableError, match="closed"):
        await slot.start()


async def test_a_process_that_is_not_ready_in_time_is_killed(tiny: InferenceModel, work: Path) -> None:
    slot = InferenceSlot(tiny, work, limits=Limits(start_seconds=0.05))
    with pytest.raises(InferenceUnavailableError, match="too long"):
        await slot.start()
    await slot.close()


async def test_closing_ends_even_a_busy_process(tiny: InferenceModel, work: Path, long: Path) -> None:
    slot = InferenceSlot(tiny, work)
    task, pid = await working(slot, request_for(linked(long, work), tiny))
    await slot.close()
    assert not is_running(pid)
    with pytest.raises(JobStoppedError):
        await task
    with pytest.raises(InferenceUnavailableError):
        await slot.separate(request_for(work / "long.wav", tiny))


async def test_a_process_dies_with_its_slots_owner(tiny: InferenceModel, work: Path, long: Path) -> None:
    """The owner is killed with SIGKILL in the middle of a job."""
    linked(long, work)
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from spleeter_microservice.sandbox.inference import InferenceSlot\n"
        "from tests.support.inference_models import described, request_for\n"
        "async def main(model, work):\n"
        "    slot = InferenceSlot(described(model), work)\n"
        "    await slot.start()\n"
        "    request = request_for(work / 'long.wav', slot.model)\n"
        "    seen = lambda *_: print(slot.pid, flush=True)\n"
        "    await slot.separate(request, seen)\n"
        "asyncio.run(main(*map(Path, sys.argv[1:])))\n"
    )
    command = [sys.executable, "-c", script, str(tiny.files.directory), str(work)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_running(pid)
        owner.kill()
        owner.wait()
        await eventually(lambda: not is_running(pid))


async def test_mutated_files_break_no_slot(slot: InferenceSlot, tiny: InferenceModel, work: Path) -> None:
    """60 files, cut, overwritten, spliced and with wild headers, each give a result or a clear error."""
    chance = np.random.default_rng(5)
    waveform = noise(RATE)
    kinds = list(KINDS)
    outcomes = []
    for number in range(60):
        kind = kinds[number % len(kinds)]
        data = mutated(encode_kind(work / f"whole.{kind}", waveform, kind).read_bytes(), chance)
        source = work / f"mutated.{kind}"
        source.write_bytes(data)
        try:
            result = await slot.separate(request_for(source, tiny, time_limit=20))
        except errors.AudioError as error:
            outcomes.append(type(error).__name__)
        else:
            json.dumps([vars(result.measurements.stems[0]), result.duration], allow_nan=False)
            outcomes.append("separated")
    assert len(outcomes) == 60
    assert len(set(outcomes)) >= 3
    assert not slot.ends


def mutated(data: bytes, chance: np.random.Generator) -> bytes:
    changed = bytearray(data)
    size = len(data)
    match chance.integers(4):
        case 0:
            return data[: chance.integers(1, size)]
        case 1:
            for _ in range(chance.integers(1, 40)):
                changed[chance.integers(size)] = chance.integers(256)
        case 2:
            for _ in range(8):
                changed[chance.integers(min(size, 200))] = chance.choice([0, 0x7F, 0x80, 0xFF])
        case _:
            start, stop = sorted(chance.integers(size, size=2))
            changed[start:stop] = chance.bytes(int(chance.integers(1, 5000)))
    return bytes(changed)


async def test_samples_of_any_size_give_finite_numbers_or_are_refused(
    slot: InferenceSlot, tiny: InferenceModel, work: Path
) -> None:
    loud = noise(RATE // 4).clip(-1, 1)
    for scale in (1e-45, 1e-38, 9e12, 1e18, 3e38):
        source = encode_kind(work / "loud.wav", loud * np.float32(scale), "f32.wav")
        for options in ({}, {"mwf": True}, {"quality": "best", "offset": 0.1, "duration": 0.1}):
            request = request_for(source, tiny, **options)
            if scale > 1e13:
                with pytest.raises(errors.InvalidSamplesError):
                    await slot.separate(request)
            else:
                result = await slot.separate(request)
                json.dumps(vars(result.measurements.stems[0]), allow_nan=False)
                assert not any(stem.anomaly for stem in result.measurements.stems)
    assert not slot.ends


async def test_the_self_check_knows_deezers_weights(deezer: InferenceModel, work: Path) -> None:
    async with InferenceSlot(deezer, work) as slot:
        difference = await slot.self_check()
        assert difference is not None
        assert difference < 0.1
        assert list(work.iterdir()) == []


async def test_the_self_check_detects_tampered_weights(
    deezer: InferenceModel, work: Path, tmp_path: Path
) -> None:
    """4 KiB of 39 MB are replaced by noise that looks like weights."""
    folder = shutil.copytree(deezer.files.directory, tmp_path / "tampered")
    with (folder / "vocals.bin").open("r+b") as file:
        file.seek((folder / "vocals.bin").stat().st_size // 2)
        file.write(np.random.default_rng(1).normal(0, 1, 1024).astype(np.float32).tobytes())
    model = replace(deezer, files=replace(deezer.files, directory=folder), hashes={})
    async with InferenceSlot(model, work) as slot:
        with pytest.raises(SelfCheckError, match="separated wrongly"):
            await slot.self_check()


async def test_the_self_check_detects_one_changed_bit(
    deezer: InferenceModel, work: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(deezer.files.directory, tmp_path / "tampered")
    with (folder / "accompaniment.bin").open("r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))
    model = replace(deezer, files=replace(deezer.files, directory=folder))
    async with InferenceSlot(model, work) as tampered:
        with pytest.raises(SelfCheckError, match=r"accompaniment\.bin differs from the installed file"):
            await tampered.self_check()


async def test_the_self_check_of_an_unknown_model_requires_only_plausible_stems(
    slot: InferenceSlot, tiny: InferenceModel
) -> None:
    assert await slot.self_check() is None


async def test_the_reference_clip_never_changes(tmp_path: Path) -> None:
    from spleeter_microservice.sandbox import self_check

    self_check.write_clip(tmp_path / "clip.wav")
    with wave.open(str(tmp_path / "clip.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(samples) == 2 * self_check.SECONDS * self_check.SAMPLE_RATE
    assert float(np.abs(samples).max()) < 32767
    assert float(np.sqrt(np.mean(np.square(samples / 32768.0)))) == pytest.approx(0.15, abs=0.1)
