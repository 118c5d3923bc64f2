"""Damaged files for the service: each is refused or becomes a job that ends."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import av
import numpy as np

from bench.client import Separation
from bench.fleet import Fleet
from spleeter_microservice.errors import InputError, SongTooLongError, error_classes

_SECONDS = 1.5
_AT_A_TIME = 4
_FATES = frozenset({200, 202, 415, 422})
_EXPECTED = frozenset(
    f"/problems/{kind.code}" for kind in error_classes() if issubclass(kind, InputError | SongTooLongError)
)
# Muxer, encoder and sample rate of each container.
_CONTAINERS: Mapping[str, tuple[str, str, int]] = {
    "wav": ("wav", "pcm_s16le", 44100),
    "aiff": ("aiff", "pcm_s16be", 44100),
    "flac": ("flac", "flac", 44100),
    "mp3": ("mp3", "libmp3lame", 44100),
    "m4a": ("ipod", "aac", 44100),
    "ogg": ("ogg", "libopus", 48000),
    "wma": ("asf", "wmav2", 44100),
    "webm": ("webm", "libopus", 48000),
    "avi": ("avi", "mp2", 44100),
    "aac": ("adts", "aac", 44100),
}


def make(folder: Path) -> dict[str, bytes]:
    """Return a short file of each container, by its ending."""
    return {ending: _encode(folder / f"whole.{ending}", *recipe) for ending, recipe in _CONTAINERS.items()}


def _encode(path: Path, muxer: str, encoder: str, rate: int) -> bytes:
    sound = np.random.default_rng(1).uniform(-0.3, 0.3, (1, round(_SECONDS * rate) * 2)).astype(np.float32)
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(encoder, rate=rate)
        assert isinstance(stream, av.AudioStream)
        context = stream.codec_context
        context.layout, context.bit_rate = "stereo", 128_000
        frame = av.AudioFrame.from_ndarray(sound, format="flt", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        for part in av.AudioResampler(context.format, "stereo", rate).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path.read_bytes()


def mutations(originals: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged copies of the files in turn, with their endings."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    for number in range(count):
        ending = sorted(originals)[number % len(originals)]
        yield ending, chance.choice((_flipped, _cut, _repeated))(chance, originals[ending])


def _flipped(chance: random.Random, data: bytes) -> bytes:
    """Flip some bits, most of them where the headers are."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 8, 64))):
        damaged[chance.randrange(min(len(data), chance.choice((64, 1024, len(data)))))] ^= (
            1 << chance.randrange(8)
        )
    return bytes(damaged)


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(1, len(data))]


def _repeated(chance: random.Random, data: bytes) -> bytes:
    begin, times = chance.randrange(len(data)), chance.choice((2, 20))
    return data[:begin] + data[begin : begin + chance.choice((16, 1024, len(data)))] * times + data[begin:]


async def send(fleet: Fleet, count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Send the files and wait until all jobs have ended.

    Args:
        fleet: the running service.
        count: number of files.
        seed: seed of the damage.
        folder: the folder for whole files.

    Returns:
        What became of the files, and descriptions of everything that went wrong.
    """
    fates: Counter[str] = Counter()
    problems: list[str] = []
    turns = asyncio.Semaphore(_AT_A_TIME)
    async with fleet.client() as client:

        async def offer(number: int, ending: str, data: bytes) -> None:
            async with turns:
                answer = await client.offer(f"{number}.{ending}", data)
            fates[f"{answer.status_code} {answer.json().get('type', 'accepted')}"] += 1
            if answer.status_code not in _FATES:
                problems.append(f"file {number}, {ending}: {answer.status_code} {answer.text[:200]}")

        files = enumerate(mutations(make(folder), count, seed))
        await asyncio.gather(*(offer(number, *mutation) for number, mutation in files))
        jobs = await client.all_ended()
    fates.update(f"job {job['state']} {(job['error'] or {}).get('type', '')}".strip() for job in jobs)
    return fates, problems + [f"job {job['id']}: {job['error']}" for job in jobs if is_fault(job)]


def is_fault(job: Separation) -> bool:
    """Return whether a job failed for another reason than its file."""
    return job["state"] != "succeeded" and (job["error"] or {}).get("type") not in _EXPECTED
