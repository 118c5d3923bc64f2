"""The transform and its inverse reproduce the signal, whatever its length and blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.spectrogram import Analysis, Segment, Synthesis, hann

SMALL = UNetArchitecture(("a", "b"), bins=64, segment_frames=64, n_fft=256, hop_length=64)
FULL = UNetArchitecture(("a", "b"))


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (samples, 2)).astype(np.float32)


def split(waveform: NDArray[np.float32], block: int) -> list[NDArray[np.float32]]:
    return [waveform[i : i + block] for i in range(0, len(waveform), block)]


def inverse(segments: list[Segment], architecture: UNetArchitecture) -> NDArray[np.float32]:
    synthesis = Synthesis(architecture)
    waveforms = [synthesis.add(s.spectrum, None, s.mix.shape[1]) for s in segments]
    return np.concatenate(waveforms, axis=1).T[architecture.n_fft :]


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 3 * 64 * 64 + 300), block=st.integers(1, 9000))
def test_a_round_trip_reproduces_the_signal(samples: int, block: int) -> None:
    waveform = noise(samples)
    segments = list(Analysis(SMALL, full_band=True).segments(split(waveform, block)))
    back = inverse(segments, SMALL)
    assert back.shape == waveform.shape
    np.testing.assert_allclose(back, waveform, atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(1, 2 * 64 * 64 + 300), block=st.integers(1, 5000))
def test_segments_do_not_depend_on_the_blocks_of_the_signal(samples: int, block: int) -> None:
    waveform = noise(samples)
    whole = list(Analysis(SMALL).segments([waveform]))
    streamed = list(Analysis(SMALL).segments(split(waveform, block)))
    assert len(whole) == len(streamed)
    for a, b in zip(whole, streamed, strict=True):
        np.testing.assert_array_equal(a.spectrum, b.spectrum)
        np.testing.assert_array_equal(a.magnitude, b.magnitude)
        np.testing.assert_array_equal(a.mix, b.mix)
        assert a.last == b.last


# Around the length that fills a segment, 512 frames less the leading frame of zeros.
@pytest.mark.parametrize("samples", [1, 441, 1024, 508 * 1024, 508 * 1024 + 1, 509 * 1024, 511 * 1024 + 1023])
def test_segments_have_as_many_frames_as_in_official_spleeter(samples: int) -> None:
    segments = list(Analysis(FULL).segments([noise(samples)]))
    assert sum(s.frames for s in segments) == -(-(samples + 4096) // 1024)
    assert [s.last for s in segments] == [False] * (len(segments) - 1) + [True]
    assert sum(s.mix.shape[1] for s in segments) == samples + 4096


def test_a_spectrum_is_the_transform_of_windowed_frames() -> None:
    waveform = noise(4 * 64)
    (segment,) = Analysis(SMALL, full_band=True).segments([waveform])
    padded = np.concatenate([np.zeros((256, 2)), waveform, np.zeros((256, 2))])
    for frame in range(segment.frames):
        windowed = padded[64 * frame : 64 * frame + 256].T * hann(256)
        np.testing.assert_allclose(segment.spectrum[:, frame], np.fft.rfft(windowed), atol=2e-5)


def test_missing_frames_are_zero_for_the_networks() -> None:
    (segment,) = Analysis(SMALL).segments([noise(100)])
    assert segment.magnitude.shape == (1, 2, 64, 64)
    assert not segment.magnitude[0, :, segment.frames :].any()
    np.testing.assert_allclose(
        segment.magnitude[0, :, : segment.frames], np.abs(segment.spectrum), rtol=1e-5, atol=1e-5
    )
