"""Examples measure exactly what a mask leaves of each stem; bands are what they say."""

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.training.lite import bands
from spleeter_microservice.training.lite.features import CHANNELS, features, neighbourhood
from spleeter_microservice.training.lite.mixing import example

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


def test_the_measured_error_is_that_of_the_masked_spectrogram() -> None:
    stems = [noise(seed) for seed in range(4)]
    accompaniment = np.sum(stems, axis=0) + noise(9) * 0.1
    measured = example(stems, accompaniment)
    masks = np.random.default_rng(1).uniform(0, 1, measured.cross.shape).astype(np.float32)
    total = np.sum(np.abs(accompaniment) ** 2)
    for k, stem in enumerate(stems):
        whole = np.repeat(bands.spread(masks[k]), bands.PAIR, axis=1)
        wanted = np.sum(np.abs(whole * accompaniment - stem) ** 2) / total
        mask = masks[k]
        found = np.sum(mask**2 * measured.power - 2 * mask * measured.cross[k]) + measured.energy[k]
        np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_features_do_not_depend_on_loudness() -> None:
    magnitude = np.abs(noise(3))
    quiet, loud = features(magnitude * np.float32(1e-3)), features(magnitude)
    assert loud.shape == (CHANNELS, FRAMES // bands.PAIR, bands.BANDS)
    np.testing.assert_allclose(quiet, loud, atol=1e-4)


def test_a_neighbourhood_is_averaged_over_what_there_is_of_it() -> None:
    values = np.arange(7, dtype=np.float32)[np.newaxis]
    np.testing.assert_allclose(neighbourhood(values, 1, 3), [[0.5, 1, 2, 3, 4, 5, 5.5]])
