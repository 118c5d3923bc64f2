"""How the network sees the spectrum: single bins where notes lie, and bands of bins above them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUPS = ((0, 256, 1), (256, 512, 4), (512, 1024, 8))
"""(first bin, bin after the last, bins per band): 10.8 Hz each up to 2.8 kHz, then 43 and 86 Hz."""

BINS = GROUPS[-1][1]
BANDS = sum((end - start) // width for start, end, width in GROUPS)

Array = NDArray[np.float32]


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
