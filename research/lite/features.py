"""The features of a spectrogram that the network sees."""

from __future__ import annotations

import numpy as np

from research.lite.bands import PAIR, averaged, paired
from spleeter_microservice.arrays import Array

CHANNELS = 12
CONTEXT = 31
"""Number of bands that the contrast in frequency averages over; odd. In time it is half as many pairs."""
FLOOR = 1e-3
"""Share of the segment's root mean square below which magnitudes count as silence."""
SCALE = 0.4
"""Factor that scales the logarithms to about unit variance."""


def features(accompaniment: Array, vocals: Array) -> Array:
    """Compute the network's input.

    For each channel, band and pair of frames, these are: the accompaniment's level in either frame, relative
    to the segment's root mean square; its tonality (the logarithm of the geometric over the arithmetic mean);
    its contrast with its neighbourhood in time and in frequency (which tells strokes from steady tones, after
    D. FitzGerald, "Harmonic/percussive separation using median filtering", 2010); and the vocals' level,
    relative to the same root mean square.

    Args:
        accompaniment: magnitudes that 2stems assigns to the accompaniment, shape (2, frames, BINS).
        vocals: magnitudes that 2stems assigns to the vocals, of the same shape.

    Returns:
        Features, shape (CHANNELS, frames / PAIR, BANDS).
    """
    level = np.sqrt(np.mean(np.square(accompaniment))) + np.float32(1e-12)
    relative = accompaniment / level + np.float32(FLOOR)
    loud: Array = np.log(averaged(relative))
    loud *= np.float32(SCALE)
    tonal = paired(np.float32(SCALE) * averaged(np.log(relative)) - loud) / 2
    mean: Array = paired(loud) * np.float32(0.5)
    steady, broad = neighbourhood(mean, 1, CONTEXT // 2), neighbourhood(mean, 2, CONTEXT)
    sung = np.log(paired(averaged(vocals / level)) / PAIR + np.float32(FLOOR)) * np.float32(SCALE)
    return np.concatenate([loud[:, 0::2], loud[:, 1::2], tonal, mean - steady, mean - broad, sung]).astype(
        np.float32
    )


def neighbourhood(values: Array, axis: int, context: int) -> Array:
    """Return the moving average along an axis over an odd number of values, or fewer at the ends."""
    half = context // 2
    sums = np.cumsum(np.moveaxis(values, axis, 0), axis=0, dtype=np.float64)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    last = len(sums) - 1
    at = np.arange(last)
    start, end = np.maximum(at - half, 0), np.minimum(at + half + 1, last)
    means = (sums[end] - sums[start]) / (end - start).reshape(-1, *[1] * (values.ndim - 1))
    averages: Array = np.moveaxis(means, 0, axis).astype(np.float32)
    return averages
