"""BSSEval version 4 in blocks equals museval."""

from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.evaluation.bsseval import TAPS, BSSEval, BSSEvalMeter, bss_eval
from tests.support.museval_reference import reference

WINDOW = 8000
Waveforms = NDArray[np.float32]
Scores = NDArray[np.float64]


def side_by_side(waveforms: Waveforms) -> Waveforms:
    return waveforms.transpose(1, 0, 2).reshape(waveforms.shape[1], -1)


def signals(stems: int, samples: int, seed: int = 0) -> tuple[Waveforms, Waveforms]:
    """Return noise, and estimates with filtering, interference and noise of their own."""
    rng = np.random.default_rng(seed)
    references = 0.1 * rng.standard_normal((stems, samples, 2))
    references[0, : samples // 3] *= 0.1
    other = 0.05 * rng.standard_normal(references.shape)
    estimates = references + 0.3 * np.roll(references, 3, axis=1) + 0.2 * references.sum(axis=0) + other
    return references.astype(np.float32), estimates.astype(np.float32)


def both(references: Waveforms, estimates: Waveforms, taps: int = 32) -> tuple[Scores, Scores]:
    """Return our scores and museval's."""
    ours = bss_eval(side_by_side(references), side_by_side(estimates), WINDOW, taps)
    return ours, reference(references, estimates, WINDOW, taps)


@pytest.mark.parametrize("samples", [1000, WINDOW - 1, WINDOW, 2 * WINDOW - 1, 50_000])
@pytest.mark.parametrize("stems", [1, 2, 4])
def test_scores_equal_those_of_museval(stems: int, samples: int) -> None:
    found, expected = both(*signals(stems, samples))
    if stems == 1:  # without interference, SIR is a ratio of rounding errors
        found, expected = found[..., [0, 2, 3]], expected[..., [0, 2, 3]]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_scores_equal_those_of_museval_with_filters_of_full_length() -> None:
    np.testing.assert_allclose(*both(*signals(2, 2 * WINDOW), TAPS), atol=1e-6)


def test_windows_with_a_silent_stem_are_ignored_as_in_museval() -> None:
    references, estimates = signals(2, 3 * WINDOW)
    references[1, :WINDOW] = 0
    estimates[0, 2 * WINDOW :] = 0
    found, expected = both(references, estimates)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.isnan(found[:, [0, 2]]).all()
    assert not np.isnan(found[:, 1]).any()


def test_stems_with_equal_channels_or_a_silent_channel_can_be_scored() -> None:
    references, estimates = signals(2, 2 * WINDOW)
    references[0, :, 1] = references[0, :, 0]
    references[1, :, 0] = 0
    np.testing.assert_allclose(*both(references, estimates), atol=0.01)


def measured(references: Waveforms, estimates: Waveforms, cuts: list[int]) -> list[BSSEval]:
    with closing(BSSEvalMeter(len(references), WINDOW)) as meter:
        for start, end in zip([0, *cuts], [*cuts, references.shape[1]], strict=True):
            meter.add(*([w[start:end].T for w in waveforms] for waveforms in (references, estimates)))
        return meter.result()


def test_the_meter_returns_medians_over_the_windows_for_any_blocks() -> None:
    references, estimates = signals(2, 3 * WINDOW)
    expected = np.median(bss_eval(side_by_side(references), side_by_side(estimates), WINDOW), axis=1)
    for cuts in ([], [1, 5000, 5001, 20000]):
        for stem, values in zip(measured(references, estimates, cuts), expected, strict=True):
            assert (stem.sdr, stem.sir, stem.sar, stem.isr) == pytest.approx(tuple(values), abs=1e-6)


def test_nothing_interferes_with_a_single_stem() -> None:
    (alone,) = measured(*signals(1, 2 * WINDOW), [])
    assert alone.sir is None
    assert alone.sdr is not None


def test_a_silent_stem_or_an_empty_song_leaves_the_scores_undefined() -> None:
    references, estimates = signals(2, WINDOW)
    references[1] = 0
    undefined = [BSSEval(None, None, None, None)] * 2
    assert measured(references, estimates, []) == undefined
    assert measured(references[:, :0], estimates[:, :0], []) == undefined
