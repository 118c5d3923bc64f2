"""The frequency bands that the network sees: single bins at low frequencies, wider bands above them."""

from __future__ import annotations

import numpy as np

from spleeter_microservice.arrays import Array

GROUPS = ((0, 128, 1), (128, 256, 2), (256, 512, 8), (512, 1024, 16))
"""(first bin, bin after the last, bins per band); bands are 10.8 Hz wide up to 1.4 kHz, 172 Hz at the top."""

PAIR = 2
"""Number of frames, 23 ms apart, that share a mask."""

BINS = GROUPS[-1][1]
BANDS = sum((end - start) // width for start, end, width in GROUPS)


def summed(values: Array) -> Array:
    """Sum over the bins of each band: from shape (…, bins) to (…, bands)."""
    return np.concatenate(
        [
            # A matrix product is many times faster than a sum over such a short axis.
            values[..., start:end].reshape(*values.shape[:-1], -1, width) @ np.ones(width, np.float32)
            for start, end, width in GROUPS
        ],
        axis=-1,
    )


def paired(values: Array) -> Array:
    """Sum an array of shape (…, frames, bands) over each pair of frames."""
    return values[..., 0::PAIR, :] + values[..., 1::PAIR, :]


def averaged(values: Array) -> Array:
    """Average over the bins of each band: from shape (…, bins) to (…, bands)."""
    return summed(values) / WIDTHS


def spread(values: Array) -> Array:
    """Repeat each band's value for its bins: from shape (…, bands) to (…, bins)."""
    return np.repeat(values, WIDTHS.astype(np.int64), axis=-1)


WIDTHS: Array = np.concatenate(
    [np.full((end - start) // width, width, np.float32) for start, end, width in GROUPS]
)
"""Number of bins of each band, shape (bands,)."""
