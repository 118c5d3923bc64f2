"""Augmentation changes the mix and its stems in the same way, within its ranges, and keeps their size."""

import numpy as np
import pytest

from spleeter_microservice.training.augmentation import augment, pitch_shift, time_stretch
from spleeter_microservice.training.configuration import Augmentation


def ramp(frames: int = 8, bins: int = 16) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (np.arange(frames)[:, None] * 100 + np.arange(bins)).astype(np.float32)[None]


def test_a_factor_of_one_changes_nothing() -> None:
    np.testing.assert_array_equal(time_stretch(ramp(), 1.0), ramp())
    np.testing.assert_array_equal(pitch_shift(ramp(), 0.0), ramp())


def test_time_stretching_interpolates_around_the_middle() -> None:
    longer = time_stretch(ramp(), 2.0)[0, :, 0]
    np.testing.assert_allclose(longer, np.linspace(0, 700, 16)[4:12], rtol=1e-6)
    shorter = time_stretch(ramp(), 0.5)[0, :, 0]
    np.testing.assert_allclose(shorter, [0, 0, *np.linspace(0, 700, 4), 0, 0], rtol=1e-6)


def test_pitch_shifting_moves_energy_along_the_frequencies() -> None:
    spectrogram = np.zeros((2, 4, 64), np.float32)
    spectrogram[..., 20] = 1
    assert int(pitch_shift(spectrogram, 12)[0, 0].argmax()) == pytest.approx(40, abs=1)
    assert int(pitch_shift(spectrogram, -12)[0, 0].argmax()) == pytest.approx(10, abs=1)
    assert not pitch_shift(ramp(bins=64), -12)[..., 32:].any()


def test_the_same_gain_in_decibels_is_applied_to_all_spectrograms() -> None:
    random = np.random.default_rng(0)
    changed = augment(np.ones((3, 2, 4, 4), np.float32), Augmentation(volume=(6, 6)), random)
    np.testing.assert_allclose(changed, 10 ** (6 / 20), rtol=1e-6)


def test_the_mix_stays_the_sum_of_its_stems() -> None:
    random = np.random.default_rng(1)
    stems = random.random((2, 2, 64, 64), np.float32)
    augmentation = Augmentation((0.5, 2), (-6, 6), (-6, 6))
    for seed in range(5):
        both = np.concatenate([stems.sum(axis=0, keepdims=True), stems])
        mix, *parts = augment(both, augmentation, np.random.default_rng(seed))
        assert mix.dtype == np.float32
        np.testing.assert_allclose(mix, parts[0] + parts[1], rtol=1e-4, atol=1e-5)
