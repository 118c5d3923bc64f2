"""Random effects of recording and mixing on an instrument."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from research.lite.bands import BINS
from spleeter_microservice.arrays import Array

Spectrum = NDArray[np.complex64]

_RATE = 44100
_OCTAVES = np.log2(np.maximum(np.arange(BINS), 1) * _RATE / 4096 / 700).astype(np.float32)  # from 700 Hz


def changed(rng: np.random.Generator, waveform: Array) -> Array:
    """Randomly apply overdrive, compression and reverberation to a waveform of shape (samples, 2)."""
    if rng.random() < 0.2:
        drive = np.float32(rng.uniform(0.3, 2.0))
        waveform = np.tanh(waveform * drive) / drive
    if rng.random() < 0.25:
        waveform = compressed(waveform, float(rng.uniform(0.2, 0.6)))
    if rng.random() < 0.25:
        waveform = reverberated(rng, waveform)
    return waveform


def compressed(waveform: Array, amount: float) -> Array:
    """Compress the dynamics of a waveform (samples, 2), in blocks of 6 ms; an amount of 1 removes them."""
    block = 256
    padded = np.pad(waveform, ((0, -len(waveform) % block), (0, 0)))
    level = np.sqrt(np.square(padded).reshape(-1, block * 2).mean(axis=1)) + 1e-3
    held = np.maximum.reduce([np.roll(level, shift) * 0.9**shift for shift in range(12)])
    gain = (held / held.mean()) ** -amount
    at = np.arange(len(waveform)) / block
    gains: Array = np.interp(at, np.arange(len(gain)) + 0.5, gain).astype(np.float32)
    return waveform * gains[:, None]


def reverberated(rng: np.random.Generator, waveform: Array) -> Array:
    """Add a random room's reverberation to a waveform (samples, 2): noise that decays in 0.2 to 1.5 s."""
    samples, decay = len(waveform), rng.uniform(0.2, 1.5)
    time = np.arange(int(decay * _RATE), dtype=np.float32) / _RATE
    tail = rng.standard_normal((len(time), 2), np.float32) * np.exp(-6.9 * time / decay)[:, None]
    tail /= np.sqrt(np.square(tail).sum(axis=0))
    size = 1 << (samples + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(waveform, size, axis=0) * np.fft.rfft(tail, size, axis=0), size, axis=0)
    return waveform + wet[:samples].astype(np.float32) * np.float32(rng.uniform(0.1, 0.5))


def equaliser(rng: np.random.Generator) -> Array:
    """Return a smooth random response, a tilt and two bells, shape (BINS,)."""
    decibels = rng.normal(0, 1.2) * _OCTAVES
    for _ in range(2):
        centre, width = rng.uniform(-4, 3.5), rng.uniform(0.5, 2)
        decibels += rng.normal(0, 3.5) * np.exp(-(((_OCTAVES - centre) / width) ** 2))
    response: Array = (10 ** (np.clip(decibels, -18, 12) / 20)).astype(np.float32)
    return response


def placed(rng: np.random.Generator, spectrum: Spectrum, stem: str) -> Spectrum:
    """Change a stem's stereo width and position at random; basses stay near the centre."""
    width = rng.choice([0.0, 0.3, 1.0, 1.0, 1.5])
    pan = np.clip(rng.normal(0, {"bass": 0.04, "drums": 0.05}.get(stem, 0.3)), -0.9, 0.9)
    same, cross = np.float32((1 + width) / 2), np.float32((1 - width) / 2)
    left, right = spectrum if rng.random() < 0.5 else spectrum[::-1]
    out = np.empty_like(spectrum)
    np.add(left * (same * np.float32(1 - pan)), right * (cross * np.float32(1 - pan)), out=out[0])
    np.add(left * (cross * np.float32(1 + pan)), right * (same * np.float32(1 + pan)), out=out[1])
    return out
