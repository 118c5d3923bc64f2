"""The multichannel Wiener filter in two passes equals Norbert's."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.separation.spleeter.wiener import Covariances

Complex = NDArray[np.complex128]


def direct(v: NDArray[Any], x: NDArray[Any]) -> Complex:
    """Apply one iteration of the published algorithm to a whole song, bin by bin.

    Args:
        v: magnitudes, shape (frames, bins, 2, stems).
        x: the mix, shape (frames, bins, 2).
    """
    eps = float(np.finfo(np.float32).eps)
    scale = max(1.0, np.abs(x).max() / 10)
    x = x / scale
    y = v / (eps + v.sum(-1, keepdims=True)) * x[..., None]
    power = (np.abs(y) ** 2).mean(axis=2)
    out = np.zeros_like(y)
    for f in range(x.shape[1]):
        spatial = [
            np.einsum("ta,tb->ab", y[:, f, :, j], y[:, f, :, j].conj()) / (eps + power[:, f, j].sum())
            for j in range(v.shape[-1])
        ]
        for t in range(x.shape[0]):
            mix = sum(power[t, f, j] * spatial[j] for j in range(v.shape[-1])) + np.sqrt(eps) * np.eye(2)
            for j in range(v.shape[-1]):
                out[t, f, :, j] = power[t, f, j] * spatial[j] @ np.linalg.inv(mix) @ x[t, f]
    result: Complex = out * scale
    return result


@pytest.mark.parametrize("loudness", [0.1, 100.0])
def test_the_filter_equals_the_published_algorithm(loudness: float) -> None:
    rng = np.random.default_rng(0)
    frames, bins, stems = 12, 5, 3
    x = loudness * (rng.normal(size=(2, frames, bins)) + 1j * rng.normal(size=(2, frames, bins)))
    v = [rng.uniform(0, loudness, (2, frames, bins)) for _ in range(stems)]
    expected = direct(np.stack(v, -1).transpose(1, 2, 0, 3), x.transpose(1, 2, 0))

    mix = x.astype(np.complex64)
    estimates = [array.astype(np.float32) for array in v]
    whole, quiet_whole = (
        Covariances.of(song[:, :7], [e[:, :7] for e in estimates])
        + Covariances.of(song[:, 7:], [e[:, 7:] for e in estimates])
        for song in (mix, mix / 32)
    )
    # The same song 32 times quieter, and raised by that.
    quiet = quiet_whole.filter(gain=32).apply(mix / 32, estimates)
    for found in (whole.filter().apply(mix, estimates), [32 * stem for stem in quiet]):
        for j, stem in enumerate(found):
            np.testing.assert_allclose(
                stem.transpose(1, 2, 0), expected[..., j], rtol=2e-3, atol=2e-4 * loudness
            )
