"""Distinct synthetic clips that sound somewhat like music: a voice over chords and a drum."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 44100
_CHORDS = ((220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6), (146.8, 185.0, 220.0))
"""Frequencies in Hz."""
_PIECE = 30 * RATE  # samples after which the music changes


def write_clip(path: Path, seconds: float, seed: int) -> Path:
    """Write a clip as 16-bit stereo WAV and return its path.

    Args:
        path: the file to write.
        seconds: length of the clip.
        seed: seed of the music; different seeds make different clips.
    """
    left = round(seconds * RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        while left > 0:
            samples = np.clip(_music(min(left, _PIECE), seed), -1, 1)
            file.writeframes((samples * 32767).astype("<i2").tobytes())
            left -= len(samples)
            seed += 1_000_000
    return path


def _music(length: int, seed: int) -> npt.NDArray[np.float64]:
    """Return samples of shape (length, 2)."""
    random = np.random.default_rng(seed)
    time = np.arange(length) / RATE
    shift = 2 ** (random.integers(-5, 6) / 12)
    chord = _CHORDS[seed % len(_CHORDS)]
    strings = sum(_tone(time, frequency * shift, 4) for frequency in chord) / 9
    voice = _tone(time, 2 * chord[0] * shift, 8, vibrato=6.0) * (np.sin(np.pi * time) > -0.3) / 4
    beat = (time * 2) % 1
    drum = random.normal(size=length) * np.exp(-beat * 30) / 6
    left, right = 0.6 * strings + voice + drum, 0.9 * strings + voice + 0.8 * drum
    return np.stack([left, right], axis=1)


def _tone(
    time: npt.NDArray[np.float64], frequency: float, harmonics: int, vibrato: float = 0.0
) -> npt.NDArray[np.float64]:
    """Return a tone with harmonics; ``frequency`` and ``vibrato`` are in Hz."""
    phase = 2 * np.pi * frequency * time + 2 * np.sin(2 * np.pi * vibrato * time)
    total: npt.NDArray[np.float64] = np.zeros_like(time)
    for harmonic in range(1, harmonics + 1):
        total += np.sin(harmonic * phase) / harmonic
    return total / 2
