"""Self-check of a model: a synthetic reference clip and the stems expected of it."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import tempfile
import wave
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.errors import SelfCheckError
from spleeter_microservice.sandbox.messages import InferenceModel, SeparationRequest
from spleeter_microservice.separation.result import SeparatedSong

SAMPLE_RATE = 44100
SECONDS = 6
TOLERANCE = 0.05
"""Allowed difference in dB on any processor; rounding accounts for a thousandth of it."""
GPU_TOLERANCE = 0.5
"""Allowed difference in dB on GPUs, which may multiply with 10-bit mantissas."""

_TIME_LIMIT = 120.0  # seconds
_FLOOR = -60.0  # dB relative to full scale; weaker bands depend on rounding
_EDGES = (0, 100, 200, 400, 800, 1600, 3200, 6400, 11025, 16000)  # of the bands, Hz
_REPAIR = "Verify the model: spleeter-microservice models verify"
_PARTS = 3  # parts of the clip, measured separately
_EXPECTED = Path(__file__).with_name("self_check.json")

Waveform = NDArray[np.float64]
Separate = Callable[[SeparationRequest], Awaitable[SeparatedSong]]
Fingerprint = Mapping[str, list[list[float]]]
"""For each stem and part of the clip, the level of each band in dB relative to full scale."""


def clip() -> Waveform:
    """Synthesise the clip: a voice-like tone over bass, chords and a beat, shape (samples, 2)."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    bass = 0.12 * np.sin(2 * np.pi * np.where(time % 2 < 1, 55.0, 82.5) * time)
    chord = sum(0.03 * np.sin(2 * np.pi * f * time) for f in (220.0, 277.18, 329.63))
    left, right = (0.3 * _voice(time) + bass + chord + 0.25 * _beat(time, seed) for seed in (1, 2))
    return np.stack([left, right], axis=1)


def _voice(time: Waveform) -> Waveform:
    """Synthesise a gliding tone with vibrato, two formants and regular pauses."""
    pitch = 220 * 2 ** ((np.floor(time / 1.5) % 4 * 2 + 0.3 * np.sin(2 * np.pi * 5.5 * time)) / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    tone = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency = harmonic * pitch
        formants = np.exp(-(((frequency - 700) / 300) ** 2)) + 0.5 * np.exp(
            -(((frequency - 2400) / 500) ** 2)
        )
        tone += (formants + 0.02) * np.sin(harmonic * phase)
    tone *= 0.5 * np.clip(8 * np.sin(np.pi * (time % 1.5) / 1.5), 0, 1)
    return tone


def _beat(time: Waveform, seed: int) -> Waveform:
    noise: Waveform = np.random.RandomState(seed).uniform(-1, 1, len(time))  # its numbers are frozen
    noise *= np.exp(-(time % 0.5) * 30)
    return noise


def write_clip(path: Path) -> None:
    """Write the clip as a 16-bit WAV file."""
    samples = np.round(np.clip(clip(), -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())


def fingerprint(paths: Mapping[str, Path]) -> Fingerprint:
    """Measure stems in 16-bit WAV files.

    Raises:
        SelfCheckError: if a file is in another format, or not as long as the clip.
    """
    return {name: _levels(_samples(path)) for name, path in paths.items()}


def _samples(path: Path) -> Waveform:
    try:
        with wave.open(str(path), "rb") as file:
            data = file.readframes(2 * SECONDS * SAMPLE_RATE)
            form = (file.getnchannels(), file.getsampwidth(), file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise SelfCheckError(f"A stem of the reference clip cannot be read: {error}.") from error
    if form != (2, 2, SECONDS * SAMPLE_RATE):
        raise SelfCheckError("A stem of the reference clip differs from it in length or format.")
    return np.frombuffer(data, "<i2").reshape(-1, 2) / 32768


def _levels(samples: Waveform) -> list[list[float]]:
    levels = []
    for part in np.split(samples, _PARTS):
        energy = (np.abs(np.fft.rfft(part, axis=0)) ** 2).mean(axis=1) * 2 / len(part) ** 2
        hertz = np.fft.rfftfreq(len(part), 1 / SAMPLE_RATE)
        sums = [energy[(low <= hertz) & (hertz < high)].sum() for low, high in itertools.pairwise(_EDGES)]
        levels.append([round(float(10 * np.log10(total + 1e-12)), 3) for total in sums])
    return levels


def key(model: InferenceModel) -> str:
    """Return a key of all that decides the result: the weights and the bins that they are applied to.

    A cascade adds its number of stems: the same weights serve four and five.
    """
    config = model.files.config
    stems = f"-{len(model.files.stems)}" if config["kind"] == "cascade" else ""
    return f"{model.weights_sha256}-{config['bins']}{stems}"


@cache
def expected() -> Mapping[str, Fingerprint]:
    """Return the expected fingerprints by ``key``, as measured by ``scripts/fingerprint.py``."""
    fingerprints: Mapping[str, Fingerprint] = json.loads(_EXPECTED.read_text(encoding="utf-8"))
    return fingerprints


def compare(found: Fingerprint, wanted: Fingerprint, tolerance: float = TOLERANCE) -> float:
    """Compare a fingerprint with the expected one.

    Args:
        found: measured fingerprint.
        wanted: expected fingerprint.
        tolerance: allowed difference of any band in dB.

    Returns:
        the largest difference of any band in dB.

    Raises:
        SelfCheckError: if it exceeds the tolerance, or the stems are different ones.
    """
    if found.keys() != wanted.keys():
        raise SelfCheckError(f"The stems are {', '.join(found)} instead of {', '.join(wanted)}.")
    worst, where = 0.0, ""
    for stem, parts in wanted.items():
        pairs = np.maximum([np.array(found[stem]), np.array(parts)], _FLOOR)
        difference = float(np.abs(pairs[0] - pairs[1]).max())
        if difference > worst:
            worst, where = difference, stem
    if worst > tolerance:
        raise SelfCheckError(
            f"The reference clip was separated wrongly: {where} differs by {worst:.2f} dB from the expected "
            f"stem; the tolerance is {tolerance} dB. {_REPAIR}"
        )
    return worst


async def check(
    separate: Separate, model: InferenceModel, work_folder: Path, tolerance: float
) -> float | None:
    """Compare the model's files with their hashes, and its stems of the clip with the expected ones.

    Returns:
        the largest difference in dB, or None for a model without an expected result.

    Raises:
        SelfCheckError: if either differs, or if the stems do not sum to the clip.
    """
    await asyncio.to_thread(_check_files, model)
    found = await measure(separate, model, work_folder)
    wanted = expected().get(key(model))
    return compare(found, wanted, tolerance) if wanted is not None else None


def _check_files(model: InferenceModel) -> None:
    for name, sha256 in model.hashes.items():
        try:
            with (model.files.directory / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SelfCheckError(f"{error.filename} cannot be read: {error.strerror}. {_REPAIR}") from error
        if found != sha256:
            raise SelfCheckError(f"{model.files.directory / name} differs from the installed file. {_REPAIR}")


async def measure(separate: Separate, model: InferenceModel, work_folder: Path) -> Fingerprint:
    """Separate the clip in a temporary directory and measure its stems.

    Raises:
        SelfCheckError: if the stems do not sum to the clip.
    """
    with tempfile.TemporaryDirectory(prefix="self-check-", dir=work_folder) as name:
        folder = Path(name)
        paths = {stem: folder / f"{stem}.wav" for stem in model.files.stems}
        await asyncio.to_thread(write_clip, folder / "clip.wav")
        request = SeparationRequest(folder / "clip.wav", paths, time_limit=_TIME_LIMIT)
        result = await separate(request)
        if result.measurements.anomaly:
            raise SelfCheckError(f"The reference clip was separated wrongly: {result.measurements.anomaly}.")
        return await asyncio.to_thread(fingerprint, paths)
