"""Songs that a tiny network learns to separate within seconds, and its configuration."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.audio_files import RATE, Waveform
from tests.support.song_folders import mixed, write_song

SECONDS = 1.0
INSTRUMENTS = ("vocals", "accompaniment")


def tones_and_noise(seed: int, seconds: float = SECONDS) -> dict[str, Waveform]:
    """Return high tones as vocals and low noise as accompaniment, each of shape (samples, 2)."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * f * times) for f in random.uniform(4000, 7000, 3))
    noise = random.standard_normal((len(times), 2)).cumsum(axis=0)
    noise -= noise.mean(axis=0)
    noise *= 0.2 / np.abs(noise).max()
    vocals = np.repeat(0.1 * np.asarray(tones)[:, None], 2, axis=1)
    return {"vocals": vocals.astype(np.float32), "accompaniment": noise.astype(np.float32)}


def write_songs(folder: Path, count: int = 3, seconds: float = SECONDS, seed: int = 0) -> Path:
    """Write a folder of songs, each with one file per stem and a file ``mixture``."""
    for k in range(count):
        waveforms = tones_and_noise(seed + k, seconds)
        write_song(folder / f"song {k}", waveforms | {"mixture": mixed(waveforms)})
    return folder


def write_list(path: Path, songs: Sequence[str], instruments: Sequence[str] = INSTRUMENTS) -> Path:
    """Write a CSV file in Spleeter's format that lists songs of ``write_songs``."""
    columns = ["mix_path", *(f"{name}_path" for name in instruments), "duration"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for song in songs:
            stems = [f"{song}/{name}.wav" for name in ("mixture", *instruments)]
            writer.writerow([*stems, SECONDS])
    return path


def values(**changes: Any) -> dict[str, Any]:
    """Return the configuration of a tiny network and a short training."""
    tiny: dict[str, Any] = {
        "model_dir": "tiny",
        "mix_name": "mix",
        "instrument_list": list(INSTRUMENTS),
        "sample_rate": RATE,
        "frame_length": 256,
        "frame_step": 64,
        "T": 64,
        "F": 64,
        "n_channels": 2,
        "n_chunks_per_song": 2,
        "chunk_duration": 0.2,
        "separation_exponent": 2,
        "mask_extension": "zeros",
        "learning_rate": 1e-2,
        "batch_size": 2,
        "train_max_steps": 8,
        "throttle_secs": 0,
        "random_seed": 3,
        "save_checkpoints_steps": 10,
        "save_summary_steps": 5,
        "model": {"type": "unet.unet", "params": {"conv_n_filters": [2, 3, 4, 4, 4, 4]}},
    }
    return tiny | changes


def write_configuration(path: Path, **changes: Any) -> Path:
    """Write ``values`` to a file, without the keys that are None."""
    present = {key: value for key, value in values(**changes).items() if value is not None}
    path.write_text(json.dumps(present))
    return path
