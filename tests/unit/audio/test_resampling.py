"""Samples are converted, mixed down and resampled as documented."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spleeter_microservice.arrays import Array
from spleeter_microservice.audio.resampling import (
    Resampler,
    as_stereo,
    at_most_stereo,
    decoded_samples,
    downmix_matrix,
)

HALF_POWER = 0.5**0.5


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    ("sample_format", "dtype", "values", "expected"),
    [
        ("u8", np.uint8, [0, 128, 255], [-1, 0, 127 / 128]),
        ("s16", np.int16, [-32768, 1, 32767], [-1, 1 / 32768, 32767 / 32768]),
        ("s32", np.int32, [-(2**31), 256, 2**31 - 256], [-1, 2**-23, 1 - 2**-23]),
        ("flt", np.float32, [-2.5, 1e-30, 1], [-2.5, 1e-30, 1]),
        ("dbl", np.float64, [-0.5, 1e300, 1e-300], [-0.5, np.inf, 0]),
    ],
)
def test_integers_are_divided_by_their_full_scale_and_floats_are_unchanged(
    sample_format: str, dtype: type, values: list[float], expected: list[float], planar: bool
) -> None:
    channels: NDArray[Any] = np.array([values, values[::-1]], dtype)
    array = channels if planar else np.ascontiguousarray(channels.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(array, format=sample_format + "p" * planar, layout="stereo")
    np.testing.assert_array_equal(
        decoded_samples(frame), np.array([expected, expected[::-1]], np.float32).T, strict=True
    )


def test_a_single_channel_is_duplicated_with_a_gain_of_exactly_one() -> None:
    mono = np.array([[0.1], [-1.0]], np.float32)
    np.testing.assert_array_equal(as_stereo(mono), np.hstack([mono, mono]), strict=True)


def test_mono_and_stereo_are_not_copied() -> None:
    for layout, channels in (("mono", 1), ("stereo", 2)):
        samples = np.ones((4, channels), np.float32)
        assert at_most_stereo(samples, av.AudioLayout(layout)) is samples


@pytest.mark.parametrize("layout", ["5.1", "5.1(side)"])
def test_surround_is_mixed_by_the_coefficients_of_bs775_divided_by_their_sum(layout: str) -> None:
    scale = 1 + 2 * HALF_POWER
    # Front left and right, centre, low frequencies, left and right surround.
    expected = np.array([[1, 0], [0, 1], [HALF_POWER] * 2, [0, 0], [HALF_POWER, 0], [0, HALF_POWER]]) / scale
    np.testing.assert_allclose(downmix_matrix(av.AudioLayout(layout)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "layout", ["2.1", "3.0", "quad", "4.0", "5.0", "5.1", "6.1", "7.1", "7.1.4", "hexagonal", "cube", "22.2"]
)
def test_no_layout_can_clip_and_left_and_right_have_the_same_gain(layout: str) -> None:
    matrix = downmix_matrix(av.AudioLayout(layout))
    assert matrix.sum(axis=0) == pytest.approx([1, 1], abs=1e-6)
    assert (matrix >= 0).all()


@pytest.mark.parametrize(("names", "usual"), [("6 channels", "5.1(side)"), ("4 channels", "quad")])
def test_unnamed_channels_are_mixed_as_the_usual_layout_of_their_number(names: str, usual: str) -> None:
    np.testing.assert_array_equal(
        downmix_matrix(av.AudioLayout(names)), downmix_matrix(av.AudioLayout(usual)), strict=True
    )


def test_many_unnamed_channels_are_averaged() -> None:
    np.testing.assert_allclose(downmix_matrix(av.AudioLayout("16 channels")), np.full((16, 2), 1 / 16))


def resampled(samples: Array, source: int, target: int, sizes: list[int]) -> Array:
    resampler = Resampler(source, target, samples.shape[1])
    chunks, position, turn = [], 0, 0
    while position < len(samples):
        size = sizes[turn % len(sizes)]
        chunks += resampler.push(samples[position : position + size])
        position, turn = position + size, turn + 1
    chunks += resampler.finish()
    return np.concatenate([np.empty((0, samples.shape[1]), np.float32), *chunks])


@given(
    frames=st.integers(1, 3000),
    rates=st.sampled_from([(8000, 44100), (48000, 44100), (192000, 44100), (44100, 48000), (44100, 16000)]),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_resampling_yields_the_same_exact_number_of_frames_for_any_chunks(
    frames: int, rates: tuple[int, int], sizes: list[int]
) -> None:
    samples = np.random.default_rng(frames).uniform(-1, 1, (frames, 2)).astype(np.float32)
    whole = resampled(samples, *rates, [frames])
    assert whole.shape == (round(frames * rates[1] / rates[0]), 2)
    np.testing.assert_array_equal(resampled(samples, *rates, sizes), whole)


def test_resampling_does_not_delay_a_tone() -> None:
    tone = {rate: np.sin(2 * np.pi * 440 * np.arange(rate) / rate)[:, None] for rate in (48000, 44100)}
    result = resampled(tone[48000].astype(np.float32), 48000, 44100, [1000])
    assert np.abs(result[100:-100] - tone[44100][100:-100]).max() < 1e-4
