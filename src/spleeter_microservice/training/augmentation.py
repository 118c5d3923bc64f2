"""Random augmentation of spectrogram segments, the same for the mix and all its stems.

Time stretching and pitch shifting are official Spleeter's approximations
(``spleeter/audio/spectrogram.py``): they interpolate the magnitudes linearly along time or frequency, then
crop or zero-pad the result to its original size.
"""

from __future__ import annotations

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.training.configuration import Augmentation

_SEMITONES_PER_OCTAVE = 12
_TIME, _FREQUENCY = -2, -1


def augment(spectrograms: Array, augmentation: Augmentation, random: np.random.Generator) -> Array:
    """Apply one random change to all spectrograms, an array of shape (..., frames, bins)."""
    if augmentation.time_stretch:
        spectrograms = time_stretch(spectrograms, random.uniform(*augmentation.time_stretch))
    if augmentation.pitch_shift:
        spectrograms = pitch_shift(spectrograms, random.uniform(*augmentation.pitch_shift))
    if augmentation.volume:
        spectrograms = spectrograms * np.float32(10 ** (random.uniform(*augmentation.volume) / 20))
    return spectrograms


def time_stretch(spectrograms: Array, factor: float) -> Array:
    """Stretch spectrograms of shape (..., frames, bins) in time by a factor, around their middle."""
    frames = spectrograms.shape[_TIME]
    stretched = _resized(spectrograms, max(1, int(frames * factor)), _TIME)
    surplus = stretched.shape[_TIME] - frames
    if surplus >= 0:
        start = surplus // 2
        return np.ascontiguousarray(stretched[..., start : start + frames, :])
    out = np.zeros_like(spectrograms)
    start = -surplus // 2
    out[..., start : start + stretched.shape[_TIME], :] = stretched
    return out


def pitch_shift(spectrograms: Array, semitones: float) -> Array:
    """Shift the pitch of spectrograms of shape (..., frames, bins), down if ``semitones`` is negative."""
    bins = spectrograms.shape[_FREQUENCY]
    shifted = _resized(spectrograms, max(1, int(bins * 2 ** (semitones / _SEMITONES_PER_OCTAVE))), _FREQUENCY)
    out = np.zeros_like(spectrograms)
    kept = min(bins, shifted.shape[_FREQUENCY])
    out[..., :kept] = shifted[..., :kept]
    return out


def _resized(array: Array, size: int, axis: int) -> Array:
    """Interpolate along an axis, keeping its first and last entries."""
    before = array.shape[axis]
    positions = np.linspace(0, before - 1, size)
    low = np.minimum(positions.astype(int), max(0, before - 2))
    weights = (positions - low).astype(np.float32)
    if axis == _TIME:
        weights = weights[:, None]
    high = np.minimum(low + 1, before - 1)
    resized: Array = np.take(array, low, axis) * (1 - weights) + np.take(array, high, axis) * weights
    return resized
