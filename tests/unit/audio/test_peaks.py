"""Peaks are the minimum and maximum of each pixel, however the stem is divided into chunks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.audio.peaks import MAX_PIXELS, Peaks


def expected(waveform: np.ndarray, per_pixel: int) -> list[int]:
    found = []
    for start in range(0, len(waveform), per_pixel):
        part = waveform[start : start + per_pixel]
        found += [int(np.clip(np.rint(extreme * 127), -128, 127)) for extreme in (part.min(), part.max())]
    return found


@given(st.lists(st.integers(0, 3000), max_size=8), st.integers(0, 2**32 - 1))
def test_peaks_do_not_depend_on_the_chunks_of_the_stem(lengths: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    chunks = [random.uniform(-1.2, 1.2, (length, 2)).astype(np.float32) for length in lengths]
    peaks = Peaks()
    for chunk in chunks:
        peaks.add(chunk)
    whole = np.concatenate([np.empty((0, 2), np.float32), *chunks])
    assert peaks.data() == expected(whole, peaks.samples_per_pixel)


@pytest.mark.parametrize("pixels", [MAX_PIXELS, MAX_PIXELS + 1, 3 * MAX_PIXELS + 7])
def test_the_number_of_pixels_of_a_long_stem_is_limited(pixels: int) -> None:
    waveform = np.random.default_rng(1).uniform(-1, 1, (pixels * 256 + 3, 2)).astype(np.float32)
    peaks = Peaks()
    for start in range(0, len(waveform), 9999):
        peaks.add(waveform[start : start + 9999])
    assert len(peaks.data()) // 2 <= MAX_PIXELS + 1
    assert peaks.data() == expected(waveform, peaks.samples_per_pixel)


def test_a_stem_without_samples_has_no_pixels() -> None:
    assert Peaks().data() == []
