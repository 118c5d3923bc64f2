"""Additive synthesis: synthesiser basses and pads, and a simple voice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from research.lite.score import Note
from research.lite.soundfonts import SAMPLE_RATE, Waveform

Samples = NDArray[np.float32]
_HIGHEST = 9000.0  # Hz; higher harmonics hardly matter

# Formants of five vowels: (centre, width) in Hz.
_VOWELS = (
    ((800, 80), (1150, 90), (2900, 120), (3900, 130)),
    ((400, 70), (1600, 80), (2700, 120), (3300, 150)),
    ((350, 60), (1700, 100), (2700, 120), (3700, 150)),
    ((450, 70), (800, 80), (2830, 100), (3500, 130)),
    ((325, 50), (700, 60), (2530, 170), (3500, 180)),
)


@dataclass(frozen=True)
class Patch:
    """The sound of a synthesiser.

    Attributes:
        slope: exponent of the decrease of the harmonics' levels.
        odd: whether to leave out the even harmonics.
        cutoff: cutoff of the filter, in harmonics.
        sustain: share of the cutoff that remains after the decay.
        decay: time constant of the cutoff's decay, in seconds.
        attack: length of the fade-in, in seconds.
        voices: number of voices that play at once.
        detune: distance between two voices, in cents.
    """

    slope: float
    odd: bool
    cutoff: float
    sustain: float
    decay: float
    attack: float
    voices: int
    detune: float

    @classmethod
    def bass(cls, rng: random.Random) -> Patch:
        """Return a random synthesiser bass."""
        return cls(
            rng.uniform(0.8, 1.6),
            rng.random() < 0.35,
            rng.choice((1.5, 3, 6, 12, 25)),
            rng.uniform(0.2, 1),
            rng.uniform(0.05, 0.6),
            0.004,
            rng.choice((1, 1, 2)),
            rng.uniform(2, 14),
        )

    @classmethod
    def pad(cls, rng: random.Random) -> Patch:
        """Return a random synthesiser pad, lead or pluck."""
        return cls(
            rng.uniform(0.7, 1.5),
            rng.random() < 0.3,
            rng.choice((4, 8, 16)),
            rng.uniform(0.15, 1),
            rng.uniform(0.08, 1.0),
            rng.choice((0.004, 0.01, 0.1)),
            rng.choice((1, 2, 3)),
            rng.uniform(4, 25),
        )


def play(rng: random.Random, notes: Sequence[Note], patch: Patch, seconds: float) -> Waveform:
    """Play notes with a patch, shape (samples, 2); several voices are panned apart."""
    out = np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32)
    for note in notes:
        begin = round(note.start * SAMPLE_RATE)
        samples = min(round((note.length + 0.05) * SAMPLE_RATE), len(out) - begin, 4 * SAMPLE_RATE)
        if samples < SAMPLE_RATE // 50:
            continue
        for voice in range(patch.voices):
            offset = (voice - (patch.voices - 1) / 2) * patch.detune
            frequency = 440 * 2 ** ((note.pitch - 69 + offset / 100) / 12)
            tone = _tone(frequency, samples, patch, rng.random()) * np.float32(note.velocity / 127 * 0.12)
            pan = 0.5 * np.sign(offset) if patch.voices > 1 else 0.0
            out[begin : begin + samples] += tone[:, None] * np.array([1 - pan, 1 + pan], np.float32)
    return out


def _tone(frequency: float, samples: int, patch: Patch, phase: float) -> Samples:
    time = np.arange(samples, dtype=np.float32) / SAMPLE_RATE
    cutoff = patch.cutoff * (patch.sustain + (1 - patch.sustain) * np.exp(-time / patch.decay))
    turn = ((frequency * np.arange(samples) / SAMPLE_RATE + phase) % 1 * 2 * np.pi).astype(np.float32)
    tone = np.zeros(samples, np.float32)
    highest = int(min(_HIGHEST / frequency, 2.5 * patch.cutoff + 1, 40))
    for harmonic in range(1, highest + 1, 2 if patch.odd else 1):
        tone += np.sin(harmonic * turn) * np.float32(harmonic**-patch.slope) / (1 + (harmonic / cutoff) ** 4)
    fade = int(0.03 * SAMPLE_RATE)
    tone[:] *= np.minimum(1, time / patch.attack)
    tone[-fade:] *= np.linspace(1, 0, len(tone[-fade:]), dtype=np.float32)
    return tone


def sing(rng: random.Random, seconds: float) -> Waveform:
    """Synthesise phrases of a simple voice with glides, vibrato, formants and breath, shape (samples, 2)."""
    samples = round(seconds * SAMPLE_RATE)
    time = np.arange(samples) / SAMPLE_RATE
    base, syllables = rng.choice((110.0, 150.0, 220.0, 290.0)), _syllables(rng, seconds)
    steps = np.zeros(samples, np.float32)
    loud = np.zeros(samples, np.float32)
    vowels = np.zeros(samples, np.int64)
    breath = np.zeros(samples, np.float32)
    for start, length, pitch, vowel, consonant in syllables:
        part = slice(round(start * SAMPLE_RATE), round((start + length) * SAMPLE_RATE))
        steps[part], vowels[part], loud[part] = pitch, vowel, rng.uniform(0.5, 1)
        if consonant:
            breath[part.start : part.start + round(rng.uniform(0.03, 0.12) * SAMPLE_RATE)] = rng.uniform(
                0.2, 1
            )
    steps, loud, breath = _smooth(steps, 0.06), _smooth(loud, 0.04), _smooth(breath, 0.015)
    vibrato = 0.35 * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * time) * rng.random()
    frequency = base * 2 ** ((steps + vibrato) / 12)
    voice = _voiced(frequency, vowels) * loud + _noise(rng, samples) * breath * np.float32(0.15)
    return np.repeat(voice[:, None] * np.float32(0.25), 2, axis=1)


def _syllables(rng: random.Random, seconds: float) -> list[tuple[float, float, int, int, bool]]:
    found, now = [], rng.uniform(0, 2)
    while now < seconds - 1:
        for _ in range(rng.randint(3, 10)):
            length = rng.choice((0.15, 0.25, 0.25, 0.5, 1.0)) * rng.uniform(0.8, 1.2)
            found.append(
                (now, length * 0.95, rng.choice((0, 2, 4, 5, 7, 9, 12)), rng.randrange(5), rng.random() < 0.6)
            )
            now += length
        now += rng.uniform(0.2, 2.5)
    return [syllable for syllable in found if syllable[0] + syllable[1] < seconds]


def _voiced(frequency: NDArray[np.float64], vowels: NDArray[np.int64]) -> Samples:
    turn = 2 * np.pi * (np.cumsum(frequency / SAMPLE_RATE) % 1)
    voice = np.zeros(len(frequency), np.float32)
    table = _formant_table()
    for harmonic in range(1, 36):
        hertz = np.minimum((harmonic * frequency / 10).astype(np.int64), table.shape[1] - 1)
        weight = _smooth(table[vowels[::64], hertz[::64]], 0.03 / 64)
        voice += np.sin(harmonic * turn).astype(np.float32) * np.repeat(weight, 64)[: len(voice)]
    return voice


def _formant_table() -> Samples:
    """Return the gain by vowel and frequency, shape (vowels, 600); a column is 10 Hz."""
    hertz = np.arange(600) * 10.0
    rows = [
        sum(0.5**i / (1 + ((hertz - centre) / width) ** 2) for i, (centre, width) in enumerate(vowel)) + 0.01
        for vowel in _VOWELS
    ]
    return (np.array(rows) / np.sqrt(1 + hertz / 500)).astype(np.float32)


def _smooth(values: Samples, seconds: float) -> Samples:
    """Return the moving average of values whose ends are extended."""
    width = max(1, round(seconds * SAMPLE_RATE))
    sums = np.cumsum(np.pad(values.astype(np.float64), (width, width), "edge"))
    return ((sums[width:] - sums[:-width]) / width)[width // 2 : width // 2 + len(values)].astype(np.float32)


def _noise(rng: random.Random, samples: int) -> Samples:
    """Return high-pass noise, as of breath and sibilants."""
    white = np.random.default_rng(rng.randrange(1 << 32)).standard_normal(samples + 1, np.float32)
    return np.diff(white)
