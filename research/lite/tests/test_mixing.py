"""Examples determine the exact error of a mask; bands and features are well-defined."""

import numpy as np
from numpy.typing import NDArray

from research.lite import bands
from research.lite.features import CHANNELS, features, neighbourhood
from research.lite.mixing import example
from research.lite.score import STEMS

FRAMES = 8


def noise(seed: int) -> NDArray[np.complex64]:
    rng = np.random.default_rng(seed)
    shape = (2, FRAMES, bands.BINS)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def test_bands_cover_every_bin_once() -> None:
    assert bands.WIDTHS.sum() == bands.BINS
    assert len(bands.WIDTHS) == bands.BANDS
    everything = np.ones((1, bands.BINS), np.float32)
    np.testing.assert_array_equal(bands.summed(everything)[0], bands.WIDTHS)
    np.testing.assert_allclose(bands.spread(bands.averaged(everything)), everything)


def test_the_error_of_an_example_is_that_of_the_masked_spectrogram() -> None:
    sources = [noise(seed) for seed in range(1 + len(STEMS))]
    mix, music = np.sum(sources, axis=0), np.sum(sources[1:], axis=0)
    rng = np.random.default_rng(1)
    share = rng.uniform(0, 1, mix.shape).astype(np.float32)
    measured = example(sources, share)
    kept, taken = rng.uniform(0, 1, measured.cross.shape).astype(np.float32)
    total = np.sum(np.abs(music) ** 2)
    for k, source in enumerate(sources):
        masks = [np.repeat(bands.spread(part[k]), bands.PAIR, axis=1) for part in (kept, taken)]
        estimate = (share * masks[0] + (1 - share) * masks[1]) * mix
        m, n = kept[k], taken[k]
        squared, mixed, vocal = measured.power
        found = np.sum(m**2 * squared + 2 * m * n * mixed + n**2 * vocal)
        found += measured.energy[k] - 2 * np.sum(m * measured.cross[0, k] + n * measured.cross[1, k])
        np.testing.assert_allclose(found, np.sum(np.abs(estimate - source) ** 2) / total, rtol=1e-3)


def test_features_do_not_depend_on_loudness() -> None:
    accompaniment, vocals = np.abs(noise(3)), np.abs(noise(4))
    quiet = features(accompaniment * np.float32(1e-3), vocals * np.float32(1e-3))
    loud = features(accompaniment, vocals)
    assert loud.shape == (CHANNELS, FRAMES // bands.PAIR, bands.BANDS)
    np.testing.assert_allclose(quiet, loud, atol=1e-4)


def test_a_neighbourhood_is_smaller_at_the_ends() -> None:
    values = np.arange(7, dtype=np.float32)[np.newaxis]
    np.testing.assert_allclose(neighbourhood(values, 1, 3), [[0.5, 1, 2, 3, 4, 5, 5.5]])
