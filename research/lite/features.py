"""What the network sees of a spectrogram."""

from __future__ import annotations

import numpy as np

from research.lite.bands import PAIR, averaged, paired
from spleeter_microservice.arrays import Array

CHANNELS = 12
CONTEXT = 31
"""Bands over which the classical features average, and twice the pairs of frames; odd."""
FLOOR = 1e-3
"""What is weaker than this share of the segment's root mean square is not told from silence."""
SCALE = 0.4
"""Brings the logarithms to about unit variance."""


def features(accompaniment: Array, vocals: Array) -> Array:
    """Compute the network's input.

    Of the accompaniment, by band and pair of frames: how loud each channel is in the one and in
    the other, relative to the segment's root mean square; how tonal it is (the logarithm of the
    geometric over the arithmetic mean); how much it exceeds its neighbourhood in time, and in
    frequency (what tells strokes from steady tones, after D. FitzGerald, "Harmonic/percussive
    separation using median filtering", 2010). Of the vocals how loud they are, relative to the same.

    Args:
        accompaniment: magnitudes as the 2-stem network leaves them, shape (2, frames, BINS).
        vocals: what it takes out, of the same shape.

    Returns:
        shape (CHANNELS, frames / PAIR, BANDS).
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
    """Average over an odd number of values along an axis; at the ends over those that there are."""
    half = context // 2
    sums = np.cumsum(np.moveaxis(values, axis, 0), axis=0, dtype=np.float64)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    last = len(sums) - 1
    at = np.arange(last)
    start, end = np.maximum(at - half, 0), np.minimum(at + half + 1, last)
    means = (sums[end] - sums[start]) / (end - start).reshape(-1, *[1] * (values.ndim - 1))
    averages: Array = np.moveaxis(means, 0, axis).astype(np.float32)
    return averages
