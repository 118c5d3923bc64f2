"""Models for inference slots, and jobs for them."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

from spleeter_microservice.sandbox.messages import InferenceModel, SeparationRequest
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.separator import ModelFiles
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.random_models import TINY, written

# Tiny networks, but segments as long as the real ones: short ones would make messages of everything.
ARCHITECTURE = replace(TINY, bins=512, segment_frames=512, n_fft=1024, hop_length=256)


def tiny_model(folder: Path, stems: tuple[str, ...] = ARCHITECTURE.stems) -> InferenceModel:
    """Write a model with random weights, and return it with some of its stems."""
    written(ARCHITECTURE, folder)
    return described(folder, stems)


def described(folder: Path, stems: tuple[str, ...] = ARCHITECTURE.stems) -> InferenceModel:
    """Return a model that was written."""
    config = replace(ARCHITECTURE, stems=stems).to_config()
    return InferenceModel(ModelFiles(folder, config, None, stems, ARCHITECTURE.sample_rate))


def song(work: Path, seconds: float = 2.0, kind: str = "s16.wav") -> Path:
    """Write a song of noise into a work folder."""
    return encode_kind(work / f"song.{kind}", noise(round(seconds * RATE)), kind)


def long_song(folder: Path, seconds: int = 600) -> Path:
    """Write a song that takes a while: ten seconds of noise, repeated. Return its path."""
    path = folder / "long.wav"
    tile = (noise(10 * RATE) * 32767).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(seconds // 10):
            file.writeframesraw(tile)
    return path


def request_for(
    source: Path,
    using: InferenceModel,
    *,
    model: InferenceModel | None = None,
    time_limit: float = 3600.0,
    name: str | None = None,
    **options: Any,
) -> SeparationRequest:
    """Return a request for all stems of a file, written next to it."""
    paths = {name: source.parent / f"{name}.wav" for name in using.files.stems}
    return SeparationRequest(source, paths, SeparationOptions(**options), time_limit, name, model)
