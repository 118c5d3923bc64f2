"""How the network sees the spectrum: single bins where notes lie, and bands of bins above them."""

from __future__ import annotations

import numpy as np

from spleeter_microservice.arrays import Array

GROUPS = ((0, 128, 1), (128, 256, 2), (256, 512, 8), (512, 1024, 16))
"""(first bin, bin after the last, bins per band): 10.8 Hz up to 1.4 kHz, at last 172 Hz."""

PAIR = 2
"""Frames, of 23 ms, that have one mask."""

BINS = GROUPS[-1][1]
BANDS = sum((end - start) // width for start, end, width in GROUPS)


def summed(values: Array) -> Array:
    """Sum an array of shape (…, bins) over each band, giving (…, bands)."""
    return np.concatenate(
        [
            # A product, which is many times faster than a sum over so short an axis.
            values[..., start:end].reshape(*values.shape[:-1], -1, width) @ np.ones(width, np.float32)
            for start, end, width in GROUPS
        ],
        axis=-1,
    )


def paired(values: Array) -> Array:
    """Sum an array of shape (…, frames, bands) over each pair of frames."""
    return values[..., 0::PAIR, :] + values[..., 1::PAIR, :]


def averaged(values: Array) -> Array:
    """Average an array of shape (…, bins) over each band, giving (…, bands)."""
    return summed(values) / WIDTHS


def spread(values: Array) -> Array:
    """Give each bin its band's value: from shape (…, bands) to (…, bins)."""
    return np.repeat(values, WIDTHS.astype(np.int64), axis=-1)


WIDTHS: Array = np.concatenate(
    [np.full((end - start) // width, width, np.float32) for start, end, width in GROUPS]
)
"""Bins of each band."""
