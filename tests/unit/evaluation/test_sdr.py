"""Global ratios equal values computed by hand and follow their laws."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spleeter_microservice.evaluation.sdr import LIMIT, SdrMeter, SdrScores, decibel

Waveform = NDArray[np.float32]


def score(reference: Waveform, estimate: Waveform) -> SdrScores:
    meter = SdrMeter()
    meter.add(reference, estimate)
    found = meter.result()
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
        (stereo(0.5, 0.5, 0.5, 0.5), 10 * math.log10(4 / 1), LIMIT),  # half the level is not distortion
        (stereo(0, 0, 0, 0), 0.0, -LIMIT),
        (stereo(1, -1, 1, -1), 10 * math.log10(4 / 8), -LIMIT),  # has nothing of the reference
        (stereo(-1, -1, -1, -1), 10 * math.log10(4 / 16), LIMIT),
        (stereo(2, 2, 0, 0), 0.0, 0.0),  # the channels have different levels, but a common scale
        (stereo(1, 1, 1, 1), LIMIT, LIMIT),
    ],
)
def test_scores_equal_values_computed_by_hand(estimate: Waveform, sdr: float, si_sdr: float) -> None:
    found = score(stereo(1, 1, 1, 1), estimate)
    assert found.sdr == pytest.approx(sdr, abs=1e-9)
    assert found.si_sdr == pytest.approx(si_sdr, abs=1e-9)


def test_a_silent_reference_leaves_the_scores_undefined() -> None:
    meter = SdrMeter()
    meter.add(stereo(0, 0), stereo(1, 1))
    assert meter.result() is None


@given(st.integers(0, 99), st.floats(0.01, 100), st.booleans())
def test_si_sdr_does_not_depend_on_the_estimates_level_or_sign(seed: int, scale: float, flip: bool) -> None:
    reference, estimate = noise(seed), noise(seed) + noise(seed + 100)
    scaled = estimate * np.float32(-scale if flip else scale)
    assert score(reference, scaled).si_sdr == pytest.approx(score(reference, estimate).si_sdr, abs=1e-3)


@given(st.integers(0, 99), st.floats(0.01, 100))
def test_sdr_does_not_depend_on_the_common_level(seed: int, scale: float) -> None:
    reference, estimate = noise(seed), noise(seed) + noise(seed + 100)
    factor = np.float32(scale)
    both = score(reference * factor, estimate * factor)
    assert both.sdr == pytest.approx(score(reference, estimate).sdr, abs=1e-3)


@given(st.integers(0, 99), st.floats(0, 60))
def test_sdr_is_the_level_of_added_noise(seed: int, level: float) -> None:
    reference, added = noise(seed).astype(np.float64), noise(seed + 100).astype(np.float64)
    added *= 10 ** (-level / 20) * np.sqrt(np.sum(reference**2) / np.sum(added**2))
    found = score(reference.astype(np.float32), (reference + added).astype(np.float32))
    assert found.sdr == pytest.approx(level, abs=1e-2)


@given(st.integers(0, 99), st.lists(st.integers(0, 9000), max_size=4))
def test_scores_do_not_depend_on_the_blocks(seed: int, cuts: list[int]) -> None:
    reference, estimate = noise(seed, 9000), noise(seed + 100, 9000)
    meter = SdrMeter()
    for start, end in pairwise([0, *sorted(cuts), 9000]):
        meter.add(reference[:, start:end], estimate[:, start:end])
    whole, found = score(reference, estimate), meter.result()
    assert found is not None
    assert (found.sdr, found.si_sdr) == pytest.approx((whole.sdr, whole.si_sdr), abs=1e-9)


@given(st.floats(0, 1e30), st.floats(0, 1e30))
def test_decibels_are_always_within_the_limit(signal: float, distortion: float) -> None:
    assert -LIMIT <= decibel(signal, distortion) <= LIMIT
