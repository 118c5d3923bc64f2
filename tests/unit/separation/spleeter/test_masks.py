"""The masks are official Spleeter's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.separation.spleeter import masks
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture


def random(count: int, seed: int = 0) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, 3, (2, 5, 64)).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("stems", [2, 4, 5])
def test_ratio_masks_follow_the_formula_and_sum_to_one(stems: int) -> None:
    energies = [s.astype(np.float64) ** 2 for s in random(stems)]
    expected = [(e + 1e-10 / stems) / (sum(energies) + 1e-10) for e in energies]
    found = masks.ratio_masks(random(stems))
    for mask, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(mask, wanted, rtol=1e-5)
    np.testing.assert_allclose(sum(found), 1, rtol=1e-6)


def test_masks_of_silence_are_equal() -> None:
    for mask in masks.ratio_masks([np.zeros((2, 5, 64), np.float32) for _ in range(4)]):
        np.testing.assert_allclose(mask, 0.25)


def test_softmax_distributes_the_magnitude_without_overflow() -> None:
    architecture = UNetArchitecture(("a", "b", "c"), kind="softmax_unet")
    logits = [x * 100 for x in random(3, 1)]
    magnitude = random(1, 2)[0]
    exponentials = [np.exp(x.astype(np.float64)) for x in logits]
    expected = [magnitude * e / sum(exponentials) for e in exponentials]
    found = masks.stem_magnitudes(architecture, [x.copy() for x in logits], magnitude)
    for estimate, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(estimate, wanted, rtol=1e-4, atol=1e-6)


def test_zeros_leave_the_mask_unchanged() -> None:
    (mask,) = random(1)
    assert masks.extend(mask, 129, "zeros") is mask


def test_average_continues_a_mask_with_its_mean() -> None:
    (mask,) = random(1)
    whole = masks.extend(mask, 129, "average")
    np.testing.assert_array_equal(whole[..., :64], mask)
    np.testing.assert_allclose(whole[..., 64:], np.repeat(mask.mean(-1, keepdims=True), 65, -1), rtol=1e-6)


def test_full_continues_masks_so_that_they_still_sum_to_one() -> None:
    whole = [masks.extend(mask, 129, "full") for mask in masks.ratio_masks(random(4))]
    np.testing.assert_allclose(sum(whole), 1, rtol=1e-5)
    np.testing.assert_allclose(
        whole[0][..., 64:], np.repeat(whole[0][..., 48:64].mean(-1, keepdims=True), 65, -1), rtol=1e-5
    )


def test_the_expected_energies_are_those_of_masked_noise() -> None:
    rng = np.random.default_rng(0)
    shape = (2, 400, 64)
    levels = [rng.uniform(0, 3, shape), rng.uniform(0, 3, shape)]
    sources = [
        s * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2) for s in levels
    ]
    mix = sources[0] + sources[1]
    estimates = [level.astype(np.float32) for level in levels]
    found = masks.expected_energies(estimates, np.abs(mix).astype(np.float32))
    for source, mask, (energy, error) in zip(sources, masks.ratio_masks(estimates), found, strict=True):
        every = slice(None, None, 4)
        assert energy == pytest.approx(np.square(np.abs(source[:, every])).sum(), rel=0.05)
        assert error == pytest.approx(np.square(np.abs(source - mask * mix)[:, every]).sum(), rel=0.05)


def test_the_expected_energies_of_silence_are_zero() -> None:
    silence = np.zeros((2, 5, 64), np.float32)
    assert masks.expected_energies([silence, silence], silence) == [(0.0, 0.0), (0.0, 0.0)]


def test_softened_magnitudes_have_masks_of_the_exponent_one_and_a_half() -> None:
    magnitudes = [np.full((2, 4, 3), value, np.float32) for value in (1, 4)]
    expected = masks.expected_energies([m ** np.float32(0.75) for m in magnitudes], magnitudes[0], 8 / 3)
    np.testing.assert_allclose(expected, masks.expected_energies(magnitudes, magnitudes[0]), rtol=1e-5)
    masks.soften(magnitudes)
    quiet, loud = masks.ratio_masks(magnitudes)
    np.testing.assert_allclose(quiet, 1 / 9, rtol=1e-5)
    np.testing.assert_allclose(loud, 8 / 9, rtol=1e-5)
