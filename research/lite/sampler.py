"""Instruments of one recorded note each, played faster or slower (Debian package ``lmms-common``)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from research.lite.score import Note, Stem
from research.lite.soundfonts import SAMPLE_RATE, Waveform
from spleeter_microservice.audio.reader import AudioReader

FOLDER = Path("/usr/share/lmms/samples")
"""Licence: GPL-2+."""

NOTES: Mapping[Stem, Sequence[str]] = {
    "bass": (
        *(f"basses/bass{name}" for name in ("01", "_acid01", "_acid02", "_hard01", "_hard02")),
        *("basses/rave_bass01", "basses/rave_bass04"),
        *("instruments/bassslap01", "instruments/bassslap02"),
    ),
    "piano": ("instruments/piano01", "instruments/piano02"),
    "other": (
        *(f"basses/{name}" for name in ("matrix1000_pluck01", "synth_acid01")),
        *(f"instruments/church_organ0{number}" for number in range(1, 5)),
        *(f"instruments/{name}01" for name in ("cello", "e_organ", "flute", "trumpet", "violin_fingered")),
        *("instruments/e_piano_accord01", "instruments/e_piano_accord02", "instruments/steel_guitar01"),
        *(f"instruments/steel_guitar_{name}_distorted01" for name in ("heavy", "medium", "slight")),
        *("instruments/violin_double_stop01", "instruments/violin_pizzicato01"),
        *(f"stringsnpads/{name}01" for name in ("bell_choir", "chorus", "heaven_strings", "juno_pad")),
        *(f"stringsnpads/{name}01" for name in ("korg_poly6_drone", "nord_ambient", "orion_string")),
        *("stringsnpads/space_strings01", "stringsnpads/space_strings02", "stringsnpads/space_strings03"),
        *("stringsnpads/rave_choir01", "stringsnpads/strings01"),
    ),
}
"""Files, without their extension, by the stem that they suit."""

_LONGEST = 4.0  # seconds
_RELEASE = 0.08  # seconds
_LOWEST, _HIGHEST = 35.0, 1200.0  # Hz


def play(rng: random.Random, stem: Stem, notes: Sequence[Note], seconds: float) -> tuple[Waveform, str]:
    """Play the notes of a stem, with a random recorded note for each program.

    Returns:
        The waveform, shape (samples, 2), and the names of the recordings.

    Raises:
        AudioError: if the recordings are not installed.
    """
    out = np.zeros((round(seconds * SAMPLE_RATE), 2), np.float32)
    chosen = {program: rng.choice(NOTES[stem]) for program in sorted({note.program for note in notes})}
    for note in notes:
        begin = round(note.start * SAMPLE_RATE)
        samples = min(round((note.length + _RELEASE) * SAMPLE_RATE), len(out) - begin)
        if samples <= 0:
            continue
        recorded, pitch = _recorded(chosen[note.program])
        step = 440 * 2 ** ((note.pitch - 69) / 12) / pitch
        step *= 2.0 ** -round(np.log2(step) / 2)  # halving the distance in octaves sounds better
        at = np.arange(0, min(samples * step, len(recorded) - 1), step)[:samples]
        played = np.stack([np.interp(at, np.arange(len(recorded)), channel) for channel in recorded.T], 1)
        fade = min(len(played), round(_RELEASE * SAMPLE_RATE))
        played[len(played) - fade :] *= np.linspace(1, 0, fade)[:, None]
        out[begin : begin + len(played)] += played.astype(np.float32) * np.float32(note.velocity / 127 * 0.3)
    return out, "+".join(sorted(set(chosen.values())))


@lru_cache(maxsize=64)
def _recorded(name: str) -> tuple[Waveform, float]:
    """Read a recorded note, shape (samples, 2), at a peak of 1, and its pitch in Hz."""
    with AudioReader(FOLDER / f"{name}.ogg", sample_rate=SAMPLE_RATE) as reader:
        samples = np.concatenate(list(reader.blocks(1 << 16)))[: round(_LONGEST * SAMPLE_RATE)]
    peak = np.abs(samples).max()
    start = int(np.argmax(np.abs(samples).max(axis=1) > 0.02 * peak))
    return samples[start:] / peak, _pitch(samples[start:].mean(axis=1))


def _pitch(samples: Waveform) -> float:
    """Estimate the pitch in Hz from the autocorrelation."""
    part = samples[: SAMPLE_RATE // 2]
    spectrum = np.fft.rfft(part - part.mean(), 2 * len(part))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: len(part)]
    correlation /= np.arange(len(part), 0, -1)
    shortest, longest = round(SAMPLE_RATE / _HIGHEST), min(round(SAMPLE_RATE / _LOWEST), len(part) // 2)
    candidates = correlation[shortest:longest]
    # The best period may be a multiple of the true one: take the first that is about as good.
    good = np.flatnonzero(candidates > 0.9 * candidates.max())
    run = good[: int(np.argmax(np.diff(good, append=len(candidates) + 2) > 1)) + 1]
    return SAMPLE_RATE / (shortest + int(run[np.argmax(candidates[run])]))
