"""Oracle masks follow the formula, whatever the blocks of the song."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.evaluation.oracle import OracleMasks
from spleeter_microservice.evaluation.sdr import SdrScores

Waveform = NDArray[np.float32]
LENGTH, STEP = 4096, 1024


def noise(seed: int, samples: int = 150_000) -> Waveform:
    smooth = np.random.default_rng(seed).standard_normal((2, samples + seed)).cumsum(axis=1)
    steps: Waveform = (smooth[:, seed:] - smooth[:, :samples]).astype(np.float32)
    return steps * np.float32(0.01)


def scored(mix: Waveform, references: list[Waveform], overlaps: list[bool], cuts: list[int]) -> list[float]:
    oracle = OracleMasks(overlaps)
    for start, end in zip([0, *cuts], [*cuts, mix.shape[1]], strict=True):
        oracle.add(mix[:, start:end], [reference[:, start:end] for reference in references])
    return [ratios.sdr for ratios in oracle.result() if isinstance(ratios, SdrScores)]


def by_formula(mix: Waveform, reference: Waveform, others: list[Waveform]) -> float:
    """Compute the SDR of a masked song in one piece and in double precision."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(LENGTH) / LENGTH)
    frames = -(-(mix.shape[1] + LENGTH) // STEP)
    padding = ((0, 0), (LENGTH, frames * STEP - mix.shape[1]))

    def transformed(waveform: Waveform) -> NDArray[np.complex128]:
        padded = np.pad(waveform.astype(np.float64), padding)
        return np.stack(
            [np.fft.rfft(padded[:, k * STEP : k * STEP + LENGTH] * window) for k in range(frames)], 1
        )

    energies = [np.abs(transformed(waveform)) ** 2 for waveform in (reference, *others)]
    masked = transformed(mix) * energies[0] / (np.sum(energies, axis=0) + 1e-10)
    out = np.zeros((2, frames * STEP + LENGTH))
    for k in range(frames):
        out[:, k * STEP : k * STEP + LENGTH] += np.fft.irfft(masked[:, k]) * window * 2 / 3
    error = out[:, LENGTH : LENGTH + mix.shape[1]] - reference
    return float(10 * np.log10(np.sum(reference.astype(np.float64) ** 2) / np.sum(error**2)))


@pytest.mark.parametrize("cuts", [[], [1, 65536, 65537, 140_000]])
def test_masks_are_ratios_of_the_reference_stems_energies(cuts: list[int]) -> None:
    one, two, rest = noise(3), noise(20), noise(70)
    mix = one + two + rest
    found = scored(mix, [one, two], [False, False], cuts)
    assert found == pytest.approx(
        [by_formula(mix, one, [two, rest]), by_formula(mix, two, [one, rest])], abs=1e-3
    )


def test_the_mask_of_an_overlapping_stem_is_its_ratio_to_the_whole_mixture() -> None:
    one, two, three = noise(3), noise(20), noise(70)
    mix = one + two + three
    *_, both = scored(mix, [one, two, one + two], [False, False, True], [])
    assert both == pytest.approx(by_formula(mix, one + two, [three]), abs=1e-3)


def test_a_stem_that_equals_the_mixture_is_reproduced() -> None:
    mix = noise(3)
    (sdr,) = scored(mix, [mix], [False], [])
    assert sdr > 60


@pytest.mark.parametrize("samples", [1, 1023, 4096, 65536 - 4096 + 3072, 65536, 65537])
def test_songs_of_every_length_are_reproduced(samples: int) -> None:
    mix = noise(3, samples)
    (sdr,) = scored(mix, [mix], [False], [])
    assert sdr > 60
