"""Previews decode, whole and in segments, to the song that was encoded."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from spleeter_microservice.audio.ogg_opus import RATE, SEGMENT_SECONDS
from spleeter_microservice.audio.preview import PreviewWriter
from tests.support.audio_files import noise
from tests.support.previews import written

SONG_RATE = 44100
SEGMENT = SEGMENT_SECONDS * RATE
SONG = noise(20 * SONG_RATE + 4410)


def with_ffmpeg(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data), "r") as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1).T


def with_libsndfile(data: bytes) -> np.ndarray:
    return np.asarray(soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0])


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(1, id="one"),
        pytest.param(10 * SONG_RATE - 184, id="the encoder is a packet ahead"),
        pytest.param(10 * SONG_RATE + 1, id="a segment of one"),
        pytest.param(len(SONG), id="three segments"),
    ],
)
def test_segments_have_exact_lengths_and_join_to_the_whole(frames: int, tmp_path: Path) -> None:
    whole, segments = written(SONG[:frames], SONG_RATE, tmp_path)
    length = round(frames * RATE / SONG_RATE)
    for decode in (with_ffmpeg, with_libsndfile):
        decoded = [decode(segment) for segment in segments]
        assert [len(part) for part in decoded[:-1]] == [SEGMENT] * ((length - 1) // SEGMENT)
        assert len(decode(whole)) == sum(map(len, decoded)) == length
        np.testing.assert_allclose(np.concatenate(decoded), decode(whole), atol=1e-3)


def test_a_preview_is_in_step_with_its_song(tmp_path: Path) -> None:
    clicks = np.zeros((11 * SONG_RATE, 2), np.float32)
    clicks[[SONG_RATE // 2, 10 * SONG_RATE, 10 * SONG_RATE + SONG_RATE // 2]] = 0.9
    whole, _ = written(clicks, SONG_RATE, tmp_path)
    heard = with_ffmpeg(whole)[:, 0]
    for position in (RATE // 2, 10 * RATE, 10 * RATE + RATE // 2):
        assert np.argmax(heard[position - 500 : position + 500]) == 500


def test_no_segment_is_seen_before_it_is_complete(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()  # in the place of the first segment, so that the rename fails
    with (
        PreviewWriter(tmp_path / "whole", lambda segment: tmp_path / str(segment), SONG_RATE) as preview,
        pytest.raises(IsADirectoryError),
    ):
        preview.write(SONG)
    assert preview.segments == 0
    assert {path.name for path in tmp_path.iterdir()} == {"0", "whole"}
