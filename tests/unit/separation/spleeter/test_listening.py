"""The networks hear what surrounds a segment, at a level and without an offset that would disturb them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from spleeter_microservice.separation.spleeter.listening import (
    Listening,
    blended,
    listen,
    overlapping,
    surrounded,
)
from spleeter_microservice.separation.spleeter.spectrogram import Analysis
from tests.support.random_models import TINY

Waveform = NDArray[np.float32]

RATE = 1000
NOTHING = np.empty((0, 2), np.float32)


def song(level: float, seconds: float = 20, offset: float = 0.0) -> list[Waveform]:
    """Return noise of a level in dB relative to full scale, in blocks of a second."""
    wave = np.random.default_rng(0).normal(offset, 10 ** (level / 20), (round(seconds * RATE), 2))
    return [wave[i : i + RATE].astype(np.float32) for i in range(0, len(wave), RATE)]


@pytest.mark.parametrize(
    ("blocks", "gain"),
    [
        (song(-15), 0), (song(-26), 0), (song(-28), 9), (song(-60), 41), (song(-200), 60),
        (song(-60, seconds=0.05), 41), ([*song(-60, 30), *song(-20, 10)], 0), ([*song(-22), *song(-60)], 0),
        (song(-60, offset=0.1), 41),
    ],
)  # fmt: skip
def test_only_a_song_that_is_quiet_as_a_whole_is_raised(blocks: list[Waveform], gain: float) -> None:
    assert 20 * np.log10(listen(blocks, RATE).gain) == pytest.approx(gain, abs=2)


def test_silence_and_songs_without_samples_stay_as_they_are() -> None:
    assert listen([], RATE) == listen([np.zeros((RATE, 2), np.float32)], RATE) == Listening()


def test_an_offset_is_found_in_each_channel_unless_it_is_small() -> None:
    assert listen(song(-20, offset=0.002), RATE).offset is None
    for scale in (1, 1e-6, 1e12):
        expected = np.array([0.1, -0.05], np.float32) * np.float32(scale)
        found = listen([block * np.float32(scale) + expected for block in song(-20)], RATE).offset
        assert found is not None
        np.testing.assert_allclose(found, expected, atol=0.003 * scale)


def test_the_beginning_of_a_loud_song_is_enough() -> None:
    def endless() -> Iterator[Waveform]:
        while True:
            yield from song(-3)

    assert listen(endless(), RATE).gain == 1


@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize("samples", [1, 2, 4, 5, 9])
def test_a_song_is_surrounded_by_its_reflection_or_by_what_is_really_there(samples: int, block: int) -> None:
    wave = np.arange(2 * samples, dtype=np.float32).reshape(-1, 2)
    real = np.full((4, 2), -1, np.float32)
    for before, after in ((NOTHING, NOTHING), (real, NOTHING), (NOTHING, real), (real[:3], real)):
        lengths: list[int] = []
        blocks = (wave[i : i + block] for i in range(0, samples, block))
        whole = np.concatenate(list(surrounded(blocks, before, after, 4, lengths.append)))
        reflected = np.pad(wave, ((4, 4), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(whole[:4], reflected[:4] if len(before) < 4 else real)
        np.testing.assert_array_equal(whole[4:-4], wave)
        np.testing.assert_array_equal(whole[-4:], reflected[-4:] if len(after) < 4 else real)
        assert lengths == [samples]


@pytest.mark.parametrize("frames", [5, 10, 64, 65, 96, 97, 128, 150])
def test_windows_that_overlap_are_put_together_in_time(frames: int) -> None:
    waveform = np.random.default_rng(frames).normal(size=((frames - 4) * 64 + 1, 2)).astype(np.float32)
    segments = list(Analysis(TINY).segments([waveform]))
    windows = list(overlapping(segments))
    assert len(windows) == 2 * len(segments) - 1
    outputs = ((segment, [magnitude.copy()]) for segment, magnitude in windows)
    for segment, (output,) in blended(outputs):
        n = segment.frames
        np.testing.assert_allclose(output[:, :, :n], segment.magnitude[:, :, :n], rtol=1e-5, atol=1e-6)


def test_no_border_of_a_window_is_heard() -> None:
    segments = list(Analysis(TINY).segments([np.zeros((150 * 64, 2), np.float32)]))
    ramp = np.linspace(0, 1, 64, dtype=np.float32)[:, np.newaxis] * np.ones((1, 2, 64, 64), np.float32)
    outputs = ((segment, [ramp.copy()]) for segment, _ in overlapping(segments))
    whole = np.concatenate([output[0, 0, : s.frames, 0] for s, (output,) in blended(outputs)])
    assert np.abs(np.diff(whole[:128])).max() < 0.06  # it is 1 from the end of a window to the next
