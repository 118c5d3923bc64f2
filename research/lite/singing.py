"""Singing voices: speech of Flite's recorded speakers, resynthesised at the pitches of random melodies."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from research.lite.soundfonts import SAMPLE_RATE, Waveform
from spleeter_microservice.audio.reader import AudioReader

SPEAKERS = {"slt": 215.0, "awb": 135.0, "kal16": 110.0}
"""Voices of Debian's ``flite`` (a BSD-like licence), with the approximate pitch in Hz that they sing at."""
HELD_OUT = {"rms": 105.0}
"""Never trained on."""

Samples = NDArray[np.float32]

_HOP, _WINDOW = 256, 1024  # samples, at 44.1 kHz: 5.8 and 23 ms
_LIFTER = 60  # samples of the cepstrum that form the envelope: 1.4 ms
_HIGHEST = 7600.0  # Hz: the speakers were recorded at 16 kHz
_LINES = (
    "hold me close tonight",
    "baby run away with me",
    "never know why the moon is over",
    "we are dancing in the rain",
    "stars burn slowly down",
    "your eyes see through every door",
    "believe what you feel",
    "alive again and going home now",
    "time will tell if I could be there",
    "shine like a summer wind",
    "the river is long and the road goes higher",
    "oh",
    "and I fly so high above you all",
    "ah la la la",
    "say something my heart would choose",
)
_SCALE = (0, 2, 4, 5, 7, 9, 11, 12, 14)


def sing(rng: random.Random, speaker: str, pitch: float, seconds: float, work: Path) -> Waveform:
    """Synthesise singing with pauses.

    Args:
        rng: source of the choice of words and melody.
        speaker: name of a voice of Flite.
        pitch: approximate pitch of the voice in Hz.
        seconds: length of the result.
        work: folder for temporary files.

    Returns:
        Waveform with two equal channels, shape (samples, 2).

    Raises:
        FileNotFoundError: if Flite is not installed.
        subprocess.CalledProcessError: if Flite fails.
    """
    out = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    base = pitch * 2 ** (rng.uniform(-2, 6) / 12)
    formants = rng.uniform(0.9, 1.15)
    now = rng.uniform(0, 2)
    while now < seconds - 2:
        speech = _spoken(rng.choice(_LINES), speaker, rng.uniform(1.2, 2.2), work)
        phrase = _phrase(rng, speech, base, formants)
        begin = round(now * SAMPLE_RATE)
        phrase = phrase[: len(out) - begin]
        out[begin : begin + len(phrase)] += phrase
        now += len(phrase) / SAMPLE_RATE + rng.choice((0.1, 0.3, 0.8, 2.0)) * rng.uniform(0.5, 1.5)
    return np.repeat(out[:, None], 2, axis=1)


def _spoken(words: str, speaker: str, slowness: float, work: Path) -> Samples:
    path = work / "speech.wav"
    stretch = f"duration_stretch={slowness:.2f}"
    command = ("flite", "-voice", speaker, "--setf", stretch, "-t", words, "-o", str(path))
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with AudioReader(path, sample_rate=SAMPLE_RATE) as reader:
        speech: Samples = np.concatenate(list(reader.blocks(1 << 16)))[:, 0]
    path.unlink()
    return speech


def _phrase(rng: random.Random, speech: Samples, base: float, formants: float) -> Samples:
    """Resynthesise speech at the pitches of a melody: harmonics where it is voiced, noise elsewhere."""
    envelope, voiced = _analysed(speech)
    frames = len(envelope)
    pitch = _melody(rng, frames, base)
    samples = frames * _HOP
    at = np.arange(samples) / _HOP
    frequency = np.interp(at, np.arange(frames), pitch)
    turn = 2 * np.pi * np.cumsum(frequency / SAMPLE_RATE)
    sung = np.zeros(samples, np.float32)
    bins = envelope.shape[1]
    for harmonic in range(1, int(_HIGHEST / pitch.min()) + 1):
        hertz = harmonic * pitch
        column = np.minimum((hertz / formants / SAMPLE_RATE * _WINDOW).astype(np.int64), bins - 1)
        weight = envelope[np.arange(frames), column] * voiced * (hertz < _HIGHEST)
        weight = weight * np.sqrt(pitch)  # fewer harmonics carry the same energy
        sung += np.interp(at, np.arange(frames), weight).astype(np.float32) * np.sin(harmonic * turn).astype(
            np.float32
        )
    breath = _whispered(rng, envelope * (1 - voiced)[:, None])
    energies = [float(np.square(each).sum()) + 1e-9 for each in (sung, breath, speech)]
    share = float(np.mean(voiced * np.square(envelope).sum(1)) / np.mean(np.square(envelope).sum(1)))
    return sung * np.float32(np.sqrt(share * energies[2] / energies[0])) + breath * np.float32(
        np.sqrt((1 - share) * energies[2] / energies[1])
    )


def _analysed(speech: Samples) -> tuple[Samples, Samples]:
    """Return the spectral envelope, shape (frames, bins), and how voiced each frame is, from 0 to 1."""
    padded = np.pad(speech, _WINDOW // 2)
    views = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    magnitude = np.abs(np.fft.rfft(views * np.hanning(_WINDOW).astype(np.float32), axis=1)) + 1e-5
    cepstrum = np.fft.irfft(np.log(magnitude), axis=1)
    cepstrum[:, _LIFTER : _WINDOW - _LIFTER + 1] = 0
    envelope = np.exp(np.fft.rfft(cepstrum, axis=1).real)
    split = round(3000 / SAMPLE_RATE * _WINDOW)
    low, high = np.square(magnitude[:, :split]).sum(1), np.square(magnitude[:, split:]).sum(1)
    voiced = 1 / (1 + (high / low) ** 2)
    smooth = np.convolve(voiced, np.hanning(7) / np.hanning(7).sum(), "same")
    return envelope.astype(np.float32), smooth.astype(np.float32)


def _melody(rng: random.Random, frames: int, base: float) -> NDArray[np.float64]:
    """Return a random melody as a pitch in Hz for each frame, with glides and vibrato."""
    steps, now = np.zeros(frames), 0
    degree = rng.randrange(5)
    while now < frames:
        length = round(rng.choice((0.2, 0.3, 0.4, 0.8)) * rng.uniform(0.8, 1.2) * SAMPLE_RATE / _HOP)
        steps[now : now + length] = _SCALE[degree]
        degree = min(max(degree + rng.choice((-2, -1, -1, 0, 1, 1, 2)), 0), len(_SCALE) - 1)
        now += length
    glide = np.hanning(rng.choice((5, 9, 15)))
    padded = np.pad(steps, len(glide), "edge")
    steps = np.convolve(padded, glide / glide.sum(), "same")[len(glide) : len(glide) + frames]
    time = np.arange(frames) * _HOP / SAMPLE_RATE
    steps += rng.uniform(0, 0.4) * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * time)
    return base * 2 ** (steps / 12)


def _whispered(rng: random.Random, envelope: Samples) -> Samples:
    """Shape noise by an envelope, which continues level above the speakers' highest frequency."""
    top = round(_HIGHEST / SAMPLE_RATE * _WINDOW)
    shape = envelope.copy()
    shape[:, top:] = envelope[:, top - 20 : top].mean(axis=1, keepdims=True)
    noise = np.random.default_rng(rng.randrange(1 << 32)).standard_normal(
        len(envelope) * _HOP + _WINDOW, np.float32
    )
    views = np.lib.stride_tricks.sliding_window_view(noise, _WINDOW)[::_HOP][: len(envelope)]
    window = np.hanning(_WINDOW).astype(np.float32)
    pieces = np.fft.irfft(np.fft.rfft(views * window, axis=1) * shape, axis=1).astype(np.float32) * window
    out = np.zeros(len(noise), np.float32)
    for i, piece in enumerate(pieces):
        out[i * _HOP : i * _HOP + _WINDOW] += piece
    return out[_WINDOW // 2 : _WINDOW // 2 + len(envelope) * _HOP]
