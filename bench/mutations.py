"""Send damaged files to the service: each is refused or becomes a job that ends, and nothing stays behind."""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import av
import numpy as np

from bench.client import FINAL, Client, Separation
from bench.fleet import Fleet
from bench.machine import machine
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


async def follow(count: int, seed: int, folder: Path, within: float) -> tuple[Counter[str], list[str]]:
    """Send the files and wait until all jobs have ended.

    Args:
        count: number of files.
        seed: seed of the damage.
        folder: the folder to create for all files.
        within: seconds that this may take.

    Returns:
        What became of the files, and descriptions of everything that went wrong.
    """
    fates: Counter[str] = Counter()
    problems: list[str] = []
    fleet = Fleet(folder / "service")
    async with fleet, fleet.client() as client, asyncio.timeout(within):
        turns, running = asyncio.Semaphore(_AT_A_TIME), {*fleet.family()}

        async def send(number: int, ending: str, data: bytes) -> None:
            async with turns:
                answer = await client.offer(f"{number}.{ending}", data)
            fates[f"{answer.status_code} {answer.json().get('type', 'accepted')}"] += 1
            if answer.status_code not in _FATES:
                problems.append(f"file {number}, {ending}: {answer.status_code} {answer.text[:200]}")

        files = enumerate(mutations(make(folder), count, seed))
        await asyncio.gather(*(send(number, *mutation) for number, mutation in files))
        jobs = await _ended(client)
        fates.update(f"job {job['state']} {(job['error'] or {}).get('type', '')}".strip() for job in jobs)
        problems += [f"job {job['id']}: {job['error']}" for job in jobs if _is_fault(job)]
        await client.delete_all()
        running |= {*fleet.family()}
        problems += [f"left over: {name}" for name in await fleet.leftovers_in_the_end()]
    problems += [f"process {one.pid} outlived the service" for one in running if one.alive]
    return fates, problems


async def _ended(client: Client) -> list[Separation]:
    """Return all jobs as soon as none is queued or running."""
    while any(job["state"] not in FINAL for job in await client.all()):
        await asyncio.sleep(0.5)
    return await client.all()


def _is_fault(job: Separation) -> bool:
    """Return whether a job failed for another reason than its file."""
    return job["state"] != "succeeded" and (job["error"] or {}).get("type") not in _EXPECTED


def main() -> int:
    """Carry out the run on the command line; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--within", type=float, default=1800.0, help="seconds that the run may take")
    parser.add_argument("--quick", action="store_true", help="send twenty files")
    options = parser.parse_args()
    print(f"Measured on {machine()}.", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        count = 20 if options.quick else options.files
        fates, problems = asyncio.run(follow(count, options.seed, Path(folder), options.within))
    for fate, times in sorted(fates.items()):
        print(f"{times:5} × {fate}")
    print(f"{count} files in {time.monotonic() - start:.0f} s")
    for problem in problems or ["no fault, nothing stuck or left over"]:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
