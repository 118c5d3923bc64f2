"""Songs are cut where official Spleeter cuts them, and transformed as the service transforms them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.errors import StemLengthError
from spleeter_microservice.evaluation.song_files import Track
from spleeter_microservice.separation.spleeter.spectrogram import Analysis
from spleeter_microservice.training.chunks import (
    check_frames,
    chunks_of,
    frames_in,
    has_segment,
    magnitudes,
    read_chunks,
)
from spleeter_microservice.training.examples import Example
from tests.support.audio_files import encode_kind, noise
from tests.support.random_models import TINY

EXAMPLE = Example("song", (), (), 100.0)


def seconds(count: int, length: float, duration: float = 100.0) -> list[float]:
    chunks = chunks_of(replace(EXAMPLE, duration=duration), count, length, 1000)
    return [chunk.start / 1000 for chunk in chunks]


def test_chunks_are_spread_from_margin_to_margin() -> None:
    assert seconds(3, 20) == [0.5, 40.0, 79.5]
    assert seconds(1, 12) == [44.0]
    assert seconds(2, 20, duration=10) == [0.5, 0.0]


def test_a_song_shorter_than_a_chunk_becomes_one_chunk() -> None:
    (chunk,) = chunks_of(replace(EXAMPLE, duration=5.0), 1, 20, 1000)
    assert (chunk.start, chunk.stop) == (0, 5000)


def test_only_whole_frames_are_counted() -> None:
    assert [frames_in(samples, TINY) for samples in (0, 255, 256, 319, 320)] == [0, 0, 1, 1, 2]
    enough = 256 + 63 * 64
    assert has_segment(chunks_of(EXAMPLE, 1, enough / 44100, 44100)[0], TINY)
    assert not has_segment(chunks_of(EXAMPLE, 1, (enough - 1) / 44100, 44100)[0], TINY)


def test_spectrograms_equal_those_that_the_networks_see_during_separation() -> None:
    waveform = noise(256 * 100)
    (segment, *_) = Analysis(TINY).segments([waveform])
    # The analysis prepends one frame of zeros to the signal.
    before = TINY.n_fft // TINY.hop_length
    expected = segment.magnitude[0][:, before:]
    found = magnitudes(waveform.T, TINY)[:, : expected.shape[1]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * expected.max())


@pytest.mark.parametrize(
    "spans", [[(0, 9000)], [(0, 9000), (500, 9500), (50_000, 60_000)], [(70_000, 88_200)]]
)
def test_parts_of_a_track_equal_slices_of_the_whole(tmp_path: Path, spans: list[tuple[int, int]]) -> None:
    one, two = noise(88_200, seed=1), noise(88_200, seed=2)
    tracks = tuple(
        Track(encode_kind(tmp_path / f"{k}.wav", waveform, "f32.wav"))
        for k, waveform in enumerate((one, two))
    )
    for found, (start, stop) in zip(read_chunks(tracks, spans, TINY), spans, strict=True):
        np.testing.assert_allclose(found, magnitudes((one + two)[start:stop].T, TINY), atol=1e-4)


def test_a_track_that_ends_early_is_an_error_that_names_it(tmp_path: Path) -> None:
    track = Track(encode_kind(tmp_path / "short.wav", noise(20_000), "f32.wav"))
    (chunk,) = chunks_of(replace(EXAMPLE, duration=1.0), 1, 0.8, 44100)
    (found,) = read_chunks((track,), [(chunk.start, chunk.stop)], TINY)
    check_frames(found.shape[1], chunk, (track,), TINY)
    with pytest.raises(
        StemLengthError, match=r"short.wav ends before 0.90 s, but song is listed with a duration of 1.00 s"
    ):
        check_frames(63, chunk, (track,), TINY)
