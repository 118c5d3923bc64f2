"""Files, hostile ones included, are probed in real confined processes."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from spleeter_microservice.errors import (
    EmptyInputError,
    InferenceCrashedError,
    InferenceUnavailableError,
    InputError,
    JobMemoryLimitError,
    JobTimeLimitError,
    NotAudioError,
    TruncatedInputError,
    UnreadableInputError,
)
from spleeter_microservice.sandbox.prober import ProbeLimits, Prober
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.inference_hooks import BUSY_READER, run_in_process
from tests.support.pictures import with_huge_picture
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio

ONE = ProbeLimits(processes=1)


@pytest_asyncio.fixture
async def prober(tmp_path: Path) -> AsyncIterator[Prober]:
    async with Prober(tmp_path) as prober:
        yield prober


def song(folder: Path, kind: str = "mp3", seconds: float = 3.0) -> Path:
    return encode_kind(folder / f"song.{kind}", noise(round(seconds * RATE)), kind)


@pytest.mark.parametrize(
    ("kind", "form", "codec"),
    [("mp3", "mp3", "mp3float"), ("s16.wav", "wav", "pcm_s16le"), ("flac", "flac", "flac")],
)
async def test_a_file_is_described(prober: Prober, tmp_path: Path, kind: str, form: str, codec: str) -> None:
    facts = await prober.probe(song(tmp_path, kind))
    assert (facts.format, facts.codec, facts.sample_rate, facts.channels) == (form, codec, RATE, 2)
    assert facts.duration == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", EmptyInputError), (b"no sound at all" * 100, NotAudioError), (None, UnreadableInputError)],
)
async def test_a_file_that_is_not_audio_is_refused_without_naming_its_path(
    prober: Prober, tmp_path: Path, content: bytes | None, kind: type[InputError]
) -> None:
    path = tmp_path / "upload"
    if content is not None:
        path.write_bytes(content)
    pids = prober.pids
    with pytest.raises(kind) as caught:
        await prober.probe(path)
    assert str(tmp_path) not in str(caught.value)
    assert str(caught.value).startswith("The file")
    assert prober.pids == pids


async def test_a_recording_need_not_tell_its_length(prober: Prober, tmp_path: Path) -> None:
    facts = await prober.probe(song(tmp_path, "live.webm"))
    assert (facts.format, facts.duration) == ("matroska,webm", None)
    path = song(tmp_path, "flac")
    data = bytearray(path.read_bytes())
    data[22:26] = bytes(4)  # the number of samples
    path.write_bytes(data)
    assert (await prober.probe(path)).duration is None


async def test_a_file_without_its_beginning_is_refused(prober: Prober, tmp_path: Path) -> None:
    path = song(tmp_path, "m4a")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises((TruncatedInputError, NotAudioError)):
        await prober.probe(path)


async def test_a_process_killed_between_files_is_replaced(prober: Prober, tmp_path: Path) -> None:
    path = song(tmp_path)
    (pid,) = prober.pids
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert (await prober.probe(path)).channels == 2
    assert pid not in prober.pids


async def test_a_stopped_process_is_replaced_and_the_file_tried_again(tmp_path: Path) -> None:
    async with Prober(tmp_path, replace(ONE, seconds=3.0)) as prober:
        (pid,) = prober.pids
        os.kill(pid, signal.SIGSTOP)
        assert (await prober.probe(song(tmp_path))).channels == 2
        assert pid not in prober.pids


async def test_a_file_whose_process_is_killed_is_read_by_another(prober: Prober, tmp_path: Path) -> None:
    (pid,) = prober.pids
    os.kill(pid, signal.SIGSTOP)
    probing = asyncio.create_task(prober.probe(song(tmp_path)))
    await eventually(lambda: not prober._idle)
    os.kill(pid, signal.SIGKILL)
    assert (await probing).channels == 2


async def test_a_file_that_crashes_its_process_affects_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process(
        "from spleeter_microservice.audio import reader\n"
        "import os, signal\n"
        "class Deadly(reader.AudioReader):\n"
        "    def __init__(self, path, **options):\n"
        "        if path.name == 'deadly': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        super().__init__(path, **options)\n"
        "reader.AudioReader = Deadly\n",
        tmp_path / "hook",
        monkeypatch,
    )
    (tmp_path / "deadly").write_bytes(b"x")
    path = song(tmp_path)
    async with Prober(tmp_path, ONE) as prober:
        with pytest.raises(InferenceCrashedError, match="SIGSEGV"):
            await prober.probe(tmp_path / "deadly")
        assert (await prober.probe(path)).channels == 2


async def test_memory_time_and_open_files_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process(
        "from spleeter_microservice.audio import reader\n"
        "import pathlib, threading\n"
        "def greedy(path, **options):\n"
        "    if path.name == 'slow': threading.Event().wait()\n"
        "    if path.name == 'writer': pathlib.Path('written').write_bytes(b'x')\n"
        "    held = [bytearray(b'x') * (16 << 20) for _ in range(100)]; threading.Event().wait()\n"
        "reader.AudioReader = greedy\n",
        tmp_path / "hook",
        monkeypatch,
    )
    async with Prober(tmp_path, replace(ONE, seconds=0.5)) as prober:
        with pytest.raises(InferenceUnavailableError, match="stalled"):
            await prober.probe(tmp_path / "slow")
    async with Prober(tmp_path, replace(ONE, memory=300 << 20)) as prober:  # a busy machine takes its time
        with pytest.raises(InferenceCrashedError):
            await prober.probe(tmp_path / "writer")
        assert not (tmp_path / "written").exists()
        with pytest.raises((JobMemoryLimitError, InferenceCrashedError)):
            await prober.probe(tmp_path / "greedy")


async def test_concurrent_files_take_turns(prober: Prober, tmp_path: Path) -> None:
    paths = [song(tmp_path, kind) for kind in ("mp3", "s16.wav", "flac")] * 4
    probes = [prober.probe(path, tenant=f"tenant {at % 3}") for at, path in enumerate(paths)]
    facts = await asyncio.gather(*probes)
    assert {fact.channels for fact in facts} == {2}
    assert len(prober.pids) <= 2


async def test_tenants_take_turns_and_one_of_their_files_takes_a_process(
    prober: Prober, tmp_path: Path
) -> None:
    path, done = song(tmp_path), list[str]()

    async def probe(prober: Prober, tenant: str) -> None:
        await prober.probe(path, tenant=tenant)
        done.append(tenant)

    await asyncio.gather(*(probe(prober, "ann") for _ in range(4)))
    assert len(prober.pids) == 1
    done.clear()
    async with Prober(tmp_path, ONE) as single:
        await asyncio.gather(*(probe(single, tenant) for tenant in ("ann", "ann", "ann", "bob")))
    assert done == ["ann", "bob", "ann", "ann"]


async def test_a_song_with_a_huge_picture_is_a_song(tmp_path: Path) -> None:
    path = song(tmp_path, "flac")
    path.write_bytes(with_huge_picture(path.read_bytes()))
    async with Prober(tmp_path, ONE) as prober:
        assert (await prober.probe(path)).duration == pytest.approx(3.0, abs=0.01)


async def test_a_file_that_takes_much_processor_time_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process(BUSY_READER, tmp_path / "hook", monkeypatch)
    async with Prober(tmp_path, replace(ONE, processor=0.1)) as prober:
        with pytest.raises(JobTimeLimitError, match="processor time"):
            await prober.probe(song(tmp_path))


async def test_a_caller_that_stops_waiting_leaves_a_working_prober(prober: Prober, tmp_path: Path) -> None:
    path = song(tmp_path)
    probing = asyncio.create_task(prober.probe(path))
    await asyncio.sleep(0)
    probing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await probing
    assert (await prober.probe(path)).channels == 2


async def test_a_process_that_cannot_start_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process("raise SystemExit('no way')", tmp_path / "hook", monkeypatch)
    with pytest.raises(InferenceUnavailableError, match="no way"):
        await Prober(tmp_path).start()


async def test_mutated_files_are_either_described_or_refused(prober: Prober, tmp_path: Path) -> None:
    chance = random.Random(5)
    for kind in ("mp3", "m4a", "flac", "ogg", "s16.wav"):
        whole = song(tmp_path, kind, 0.5).read_bytes()
        for number in range(12):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 8, 64))):
                data[chance.randrange(min(len(data), 4096))] = chance.randrange(256)
            path = tmp_path / f"mutated-{number}.{kind}"
            path.write_bytes(data)
            with contextlib.suppress(InputError):
                await prober.probe(path)


@pytest.mark.parametrize(
    "module", ["spleeter_microservice.web.services", "spleeter_microservice.sandbox.prober"]
)
async def test_the_api_process_imports_no_decoder(module: str) -> None:
    heavy = "{'av', 'numpy', 'onnxruntime', 'onnx', 'scipy'}"
    script = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
