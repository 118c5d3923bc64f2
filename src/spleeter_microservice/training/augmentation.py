"""Changes segments of spectrograms at random, alike in the mix and in all stems.

Stretching and shifting are official Spleeter's approximations (``spleeter/audio/spectrogram.py``): a
linear interpolation of the magnitudes along time or frequency, the result cut or filled with
zeros to the size that it had.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.training.configuration import Augmentation, Range

Spectrograms = NDArray[np.float32]

_SEMITONES = 12  # in an octave
_TIME, _FREQUENCY = -2, -1


def augment(spectrograms: Spectrograms, how: Augmentation, random: np.random.Generator) -> Spectrograms:
    """Change spectrograms of shape (..., frames, bins), all in the same way."""
    if how.time_stretch:
        spectrograms = time_stretch(spectrograms, _drawn(how.time_stretch, random))
    if how.pitch_shift:
        spectrograms = pitch_shift(spectrograms, _drawn(how.pitch_shift, random))
    if how.volume:
        spectrograms = spectrograms * np.float32(10 ** (_drawn(how.volume, random) / 20))
    return spectrograms


def time_stretch(spectrograms: Spectrograms, factor: float) -> Spectrograms:
    """Make it last ``factor`` times as long; the middle of it stays in the middle."""
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


def pitch_shift(spectrograms: Spectrograms, semitones: float) -> Spectrograms:
    """Raise the pitch by so many semitones, or lower it by as many below 0."""
    bins = spectrograms.shape[_FREQUENCY]
    shifted = _resized(spectrograms, max(1, int(bins * 2 ** (semitones / _SEMITONES))), _FREQUENCY)
    out = np.zeros_like(spectrograms)
    kept = min(bins, shifted.shape[_FREQUENCY])
    out[..., :kept] = shifted[..., :kept]
    return out


def _resized(array: Spectrograms, size: int, axis: int) -> Spectrograms:
    """Interpolate along an axis; its first and last entries stay what they are."""
    before = array.shape[axis]
    places = np.linspace(0, before - 1, size)
    low = np.minimum(places.astype(int), max(0, before - 2))
    weights = (places - low).astype(np.float32)
    if axis == _TIME:
        weights = weights[:, None]
    high = np.minimum(low + 1, before - 1)
    resized: Spectrograms = np.take(array, low, axis) * (1 - weights) + np.take(array, high, axis) * weights
    return resized


def _drawn(limits: Range, random: np.random.Generator) -> float:
    return float(random.uniform(*limits))
