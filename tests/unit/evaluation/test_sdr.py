"""Global ratios, against cases computed by hand and by their laws."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spleeter_microservice.evaluation.sdr import LIMIT, SdrMeter, SdrScores, decibel

Waveform = NDArray[np.float32]


def ratios(true: Waveform, estimate: Waveform) -> SdrScores:
    distortion = SdrMeter()
    distortion.add(true, estimate)
    found = distortion.result()
    assert found is not None
    return found


def stereo(*values: float) -> Waveform:
    return np.array(values, np.float32).reshape(2, -1)


def noise(seed: int, samples: int = 300) -> Waveform:
    return np.random.default_rng(seed).standard_normal((2, samples)).astype(np.float32)


@pytest.mark.parametrize(
    ("estimate", "sdr", "si_sdr"),
    [
        # Σs² = 4 for s = (1, 1, 1, 1).
        (stereo(1, 1, 1, 0), 10 * math.log10(4 / 1), 10 * math.log10((9 / 4) / (3 - 9 / 4))),
        (stereo(0.5, 0.5, 0.5, 0.5), 10 * math.log10(4 / 1), LIMIT),  # half the level is no distortion
        (stereo(0, 0, 0, 0), 0.0, -LIMIT),
        (stereo(1, -1, 1, -1), 10 * math.log10(4 / 8), -LIMIT),  # has nothing of the true stem
        (stereo(-1, -1, -1, -1), 10 * math.log10(4 / 16), LIMIT),
        (stereo(2, 2, 0, 0), 0.0, 0.0),  # the level differs between the channels, the scale may not
        (stereo(1, 1, 1, 1), LIMIT, LIMIT),
    ],
)
def test_cases_computed_by_hand(estimate: Waveform, sdr: float, si_sdr: float) -> None:
    found = ratios(stereo(1, 1, 1, 1), estimate)
    assert found.sdr == pytest.approx(sdr, abs=1e-9)
    assert found.si_sdr == pytest.approx(si_sdr, abs=1e-9)


def test_a_silent_true_stem_leaves_the_ratios_undefined() -> None:
    distortion = SdrMeter()
    distortion.add(stereo(0, 0), stereo(1, 1))
    assert distortion.result() is None


@given(st.integers(0, 99), st.floats(0.01, 100), st.booleans())
def test_si_sdr_does_not_depend_on_the_estimates_level_or_sign(seed: int, scale: float, flip: bool) -> None:
    true, estimate = noise(seed), noise(seed) + noise(seed + 100)
    scaled = estimate * np.float32(-scale if flip else scale)
    assert ratios(true, scaled).si_sdr == pytest.approx(ratios(true, estimate).si_sdr, abs=1e-3)


@given(st.integers(0, 99), st.floats(0.01, 100))
def test_sdr_does_not_depend_on_the_level_of_both(seed: int, scale: float) -> None:
    true, estimate = noise(seed), noise(seed) + noise(seed + 100)
    factor = np.float32(scale)
    both = ratios(true * factor, estimate * factor)
    assert both.sdr == pytest.approx(ratios(true, estimate).sdr, abs=1e-3)


@given(st.integers(0, 99), st.floats(0, 60))
def test_sdr_is_the_level_of_the_noise_added(seed: int, level: float) -> None:
    true, added = noise(seed).astype(np.float64), noise(seed + 100).astype(np.float64)
    added *= 10 ** (-level / 20) * np.sqrt(np.sum(true**2) / np.sum(added**2))
    found = ratios(true.astype(np.float32), (true + added).astype(np.float32))
    assert found.sdr == pytest.approx(level, abs=1e-2)


@given(st.integers(0, 99), st.lists(st.integers(0, 9000), max_size=4))
def test_pieces_give_what_the_whole_gives(seed: int, cuts: list[int]) -> None:
    true, estimate = noise(seed, 9000), noise(seed + 100, 9000)
    distortion = SdrMeter()
    ends = [0, *sorted(cuts), 9000]
    for start, end in pairwise(ends):
        distortion.add(true[:, start:end], estimate[:, start:end])
    whole, found = ratios(true, estimate), distortion.result()
    assert found is not None
    assert (found.sdr, found.si_sdr) == pytest.approx((whole.sdr, whole.si_sdr), abs=1e-9)


@given(st.floats(0, 1e30), st.floats(0, 1e30))
def test_decibels_are_always_within_the_limit(signal: float, distortion: float) -> None:
    assert -LIMIT <= decibel(signal, distortion) <= LIMIT
