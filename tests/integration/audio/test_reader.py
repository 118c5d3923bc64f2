"""Files of every kind are read exactly, whole or in part, in blocks of any size."""

from __future__ import annotations

import os
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spleeter_microservice.audio import decoder
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.resampling import decoded_samples
from spleeter_microservice.errors import ConfigurationError, NoSamplesError, UnreadableInputError
from tests.support.audio_files import (
    KINDS,
    RATE,
    Waveform,
    distance,
    encode,
    encode_kind,
    lag,
    noise,
    read,
    with_pictures,
)

SONG = noise(RATE)

LOSSLESS = {
    "u8.wav": 8,
    "s16.wav": 16,
    "s24.wav": 24,
    "aiff": 16,
    "flac": 16,
    "s24.flac": 24,
    "alac.m4a": 24,
    "flac.ogg": 16,
    "tta": 16,
}


def rounded(waveform: Waveform, bits: int) -> Waveform:
    scale = 2.0 ** (bits - 1)
    return np.asarray(np.clip(np.rint(waveform * scale), -scale, scale - 1) / scale, np.float32)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_stereo_of_lossless_files_is_read_bit_for_bit(tmp_path: Path, kind: str) -> None:
    path = encode_kind(tmp_path / f"song.{kind}", SONG, kind)
    bits = LOSSLESS[kind]
    # The encoder takes 24 bits from 32 and may keep or drop the lower ones.
    tolerance = 2.0**-23 if bits == 24 else 0
    np.testing.assert_allclose(read(path), rounded(SONG, bits), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ["f32.wav", "f64.wav", "s32.wav"])
def test_float_and_32_bit_files_are_read_to_the_last_bit_of_float32(tmp_path: Path, kind: str) -> None:
    path = encode_kind(tmp_path / "song.wav", SONG, kind)
    np.testing.assert_allclose(read(path), SONG, rtol=2**-24, atol=2**-31)


def test_float_samples_beyond_full_scale_are_kept(tmp_path: Path) -> None:
    path = encode_kind(tmp_path / "song.wav", 3 * SONG, "f32.wav")
    np.testing.assert_array_equal(read(path), 3 * SONG)


@pytest.mark.parametrize("kind", ["mp3", "vbr.mp3", "m4a", "index-first.m4a", "ogg"])
def test_lossy_files_are_read_without_the_delay_and_the_padding_of_the_codec(
    tmp_path: Path, kind: str
) -> None:
    song = SONG[: 64 * 600]  # a multiple of the Vorbis encoder's block
    result = read(encode_kind(tmp_path / f"song.{kind}", song, kind))
    assert result.shape == song.shape
    assert lag(song, result) == 0
    assert distance(song, result) < -8


@pytest.mark.parametrize("kind", ["opus", "webm", "live.webm"])
def test_opus_is_read_without_its_delay(tmp_path: Path, kind: str) -> None:
    song = noise(48_000)
    result = read(encode_kind(tmp_path / f"song.{kind}", song, kind), sample_rate=48_000)
    assert result.shape == song.shape
    assert lag(song, result) == 0
    assert distance(song, result) < -8


@pytest.mark.parametrize("kind", ["headerless.mp3", "fragmented.mp4", "mkv", "aac", "wma"])
def test_files_that_do_not_state_the_padding_are_read_whole(tmp_path: Path, kind: str) -> None:
    result = read(encode_kind(tmp_path / f"song.{kind}", SONG, kind))
    assert abs(len(result) - len(SONG)) < 4096
    assert np.abs(result).max() == pytest.approx(np.abs(SONG).max(), rel=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_attributes_of_a_reader_describe_the_file(tmp_path: Path, kind: str) -> None:
    with AudioReader(encode_kind(tmp_path / f"song.{kind}", SONG, kind)) as reader:
        rate = KINDS[kind].get("rate", RATE)
        assert (reader.source_sample_rate, reader.source_channels) == (rate, 2)
        assert reader.codec_name
        if kind == "live.webm":  # as a browser records
            assert (reader.announced_duration, reader.expected_frames) == (None, None)
        else:
            assert reader.announced_duration == pytest.approx(len(SONG) / rate, abs=0.15)
            assert reader.expected_frames == pytest.approx(len(SONG) * RATE / rate, abs=0.15 * RATE)


@pytest.mark.parametrize("kind", ["s16.wav", "flac", "mp3", "m4a", "ogg"])
def test_mono_is_duplicated_with_a_gain_of_one(tmp_path: Path, kind: str) -> None:
    if kind == "ogg":  # FFmpeg's own encoder has stereo only
        path = encode(tmp_path / "mono.ogg", SONG[:, :1], muxer="ogg", encoder="libopus", rate=48_000)
    else:
        path = encode_kind(tmp_path / f"mono.{kind}", SONG[:, :1], kind)
    result = read(path)
    np.testing.assert_array_equal(result[:, 0], result[:, 1])
    if kind in LOSSLESS:
        np.testing.assert_array_equal(result[:, 0], rounded(SONG[:, 0], 16))


@pytest.mark.parametrize("kind", ["f32.wav", "flac"])
def test_surround_at_full_scale_does_not_clip(tmp_path: Path, kind: str) -> None:
    path = encode_kind(tmp_path / f"surround.{kind}", np.ones((RATE // 2, 6), np.float32), kind)
    result = read(path)
    assert 0.9999 < result.min() <= result.max() <= 1


@pytest.mark.parametrize("kind", ["f32.wav", "flac", "m4a", "opus", "flac.ogg"])
def test_surround_on_the_left_stays_on_the_left(tmp_path: Path, kind: str) -> None:
    surround = np.zeros((RATE, 6), np.float32)
    surround[:, (0, 4)] = SONG
    result = read(encode_kind(tmp_path / f"surround.{kind}", surround, kind))
    assert np.abs(result[:, 0]).mean() > 100 * np.abs(result[:, 1]).mean()


@pytest.mark.parametrize("kind", ["f32.wav", "opus"])
def test_more_channels_than_loudspeakers_are_averaged(tmp_path: Path, kind: str) -> None:
    options = {"mapping_family": "255"} if kind == "opus" else {}
    song = np.repeat(noise(RATE, 1), 12, axis=1)
    path = encode(tmp_path / "many", song, layout="12 channels", options=options, **KINDS[kind])
    result = read(path, sample_rate=KINDS[kind].get("rate", RATE))
    assert lag(song, result) == 0
    assert distance(song[:, :2], result) < -8


def test_the_effects_channel_of_surround_is_dropped_and_the_centre_goes_to_both_sides(tmp_path: Path) -> None:
    surround = np.zeros((1000, 6), np.float32)
    surround[:500, 3] = 1
    surround[500:, 2] = 1
    result = read(encode_kind(tmp_path / "surround.wav", surround, "f32.wav"))
    assert np.abs(result[:500]).max() == 0
    np.testing.assert_allclose(result[500:], 0.5**0.5 / (1 + 2**0.5), rtol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 48000, 88200, 96000, 192_000])
def test_every_sample_rate_yields_the_exact_number_of_frames_and_the_same_tone(
    tmp_path: Path, rate: int
) -> None:
    frames = rate // 3 + 7

    def tone(frames: int, rate: int) -> Waveform:
        wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)
        return np.stack([wave, wave], axis=1).astype(np.float32)

    path = encode(tmp_path / "tone.wav", tone(frames, rate), muxer="wav", encoder="pcm_f32le", rate=rate)
    result = read(path)
    expected = tone(round(frames * RATE / rate), RATE)
    assert result.shape == expected.shape
    assert np.abs(result - expected)[500:-500].max() < 1e-3


def test_a_stream_whose_sample_rate_changes_is_read_to_its_end(tmp_path: Path) -> None:
    parts = [
        encode(tmp_path / f"{rate}.aac", noise(rate), muxer="adts", encoder="aac", rate=rate).read_bytes()
        for rate in (44100, 48000)
    ]
    (tmp_path / "both.aac").write_bytes(b"".join(parts))
    assert len(read(tmp_path / "both.aac")) == pytest.approx(2 * RATE, abs=6000)


@pytest.mark.parametrize(("muxer", "video"), [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("avi", "mpeg4")])
def test_the_sound_of_a_video_is_read(tmp_path: Path, muxer: str, video: str) -> None:
    path = with_pictures(
        tmp_path / f"film.{muxer}", SONG, muxer, video, "pcm_s16le" if muxer == "avi" else "aac"
    )
    assert len(read(path)) == pytest.approx(RATE, abs=2048)


@pytest.mark.parametrize(("muxer", "sound"), [("mp3", "libmp3lame"), ("mp4", "aac"), ("flac", "flac")])
def test_a_cover_picture_is_ignored(tmp_path: Path, muxer: str, sound: str) -> None:
    path = with_pictures(tmp_path / "song", SONG, muxer, "mjpeg", sound, cover=True)
    assert len(read(path)) == pytest.approx(RATE, abs=45)


@pytest.mark.parametrize(
    "name",
    [
        "two words.wav",
        "Ünïcödé 歌 🎵.wav",
        "-rf.wav",
        "--.wav",
        "%03d.wav",
        "100%.wav",
        "concat:a.wav",
        "http:song.wav",
        "file:x.wav",
        "a|b.wav",
        "pipe:0",
        "quote'\".wav",
        "new\nline.wav",
        "[a].wav",
        "x" * 196 + ".wav",
        "no extension",
        "wrong extension.mp3",
    ],
)
def test_the_name_of_a_file_has_no_effect(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encode_kind(tmp_path / "plain.wav", SONG, "s16.wav").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, Path(name)):
        np.testing.assert_array_equal(read(path), rounded(SONG, 16))


def test_tags_may_be_in_any_encoding(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp3", SONG, muxer="mp3", encoder="libmp3lame", metadata={"title": "aaaa"})
    data = path.read_bytes()
    assert b"aaaa" in data
    path.write_bytes(data.replace(b"aaaa", b"\xff\xfe\xe4\x80"))
    assert len(read(path)) == len(SONG)


@pytest.fixture(scope="module")
def any_file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("audio")
    kinds = {"wav": "s16.wav", "mp3": "mp3", "m4a": "m4a", "opus": "opus", "flac": "flac"}
    return {name: encode_kind(folder / f"song.{name}", SONG, kind) for name, kind in kinds.items()}


@given(name=st.sampled_from(["wav", "mp3", "m4a", "opus", "flac"]), block=st.integers(1, 60_000))
@settings(max_examples=25, deadline=None)
def test_the_samples_do_not_depend_on_the_block_length(
    any_file: dict[str, Path], name: str, block: int
) -> None:
    whole = read(any_file[name], 1 << 20)
    with AudioReader(any_file[name]) as reader:
        blocks = list(reader.blocks(max(block, 50)))
    assert {len(each) for each in blocks[:-1]} <= {max(block, 50)}
    assert 0 < len(blocks[-1]) <= max(block, 50)
    assert all(each.flags.c_contiguous and each.dtype == np.float32 for each in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@given(
    name=st.sampled_from(["wav", "mp3", "m4a", "opus", "flac"]),
    offset=st.floats(0, 0.9),
    duration=st.none() | st.floats(1e-4, 1.2),
)
@settings(max_examples=30, deadline=None)
def test_offset_and_duration_select_a_slice_of_the_whole(
    any_file: dict[str, Path], name: str, offset: float, duration: float | None
) -> None:
    whole = read(any_file[name])
    start = round(offset * RATE)
    stop = None if duration is None else start + max(1, round(duration * RATE))
    with AudioReader(any_file[name], offset=offset, duration=duration) as reader:
        assert reader.expected_frames == len(whole[start:stop])
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(4096))), whole[start:stop])


def test_an_offset_beyond_the_end_is_refused_with_the_length_of_the_file(any_file: dict[str, Path]) -> None:
    with pytest.raises(NoSamplesError, match=r"offset of 1\.5 s .*song\.wav, which lasts 1 s\."):
        read(any_file["wav"], offset=1.5)


@pytest.mark.parametrize(
    "options",
    [{"offset": -1}, {"offset": float("nan")}, {"duration": 0}, {"duration": -1}, {"duration": float("inf")}],
)
def test_an_offset_or_duration_out_of_range_is_refused(
    any_file: dict[str, Path], options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="seconds"):
        read(any_file["wav"], **options)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def peak(seconds: int) -> int:
        path = encode_kind(tmp_path / f"{seconds}.wav", np.zeros((seconds * RATE, 2), np.float32), "s16.wav")
        tracemalloc.start()
        with AudioReader(path) as reader:
            for _ in reader.blocks(RATE):
                pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(100) < 1.1 * peak(10)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_medium_that_fails_is_reported_as_such(tmp_path: Path) -> None:
    # No medium fails on demand: its descriptor is replaced by one that does.
    path = encode_kind(tmp_path / "song.wav", np.zeros((20 * RATE, 2), np.float32), "s16.wav")
    with AudioReader(path) as reader, Path("/proc/self/mem").open("rb", buffering=0) as failing:
        blocks = reader.blocks(1000)
        next(blocks)
        descriptors = Path("/proc/self/fd").iterdir()
        mine = next(int(each.name) for each in descriptors if each.resolve() == path.resolve())
        os.dup2(failing.fileno(), mine)
        with pytest.raises(UnreadableInputError, match=r"song\.wav cannot be read: Input/output error"):
            list(blocks)


def test_closing_waits_until_no_other_thread_decodes(
    any_file: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, released = threading.Event(), threading.Event()

    def decode_when_released(frame: av.AudioFrame) -> Waveform:
        decoding.set()
        assert released.wait(60)
        return decoded_samples(frame)

    monkeypatch.setattr(decoder, "decoded_samples", decode_when_released)
    with AudioReader(any_file["wav"]) as reader, ThreadPoolExecutor(2) as threads:
        blocks = reader.blocks(100)
        block = threads.submit(next, blocks)
        assert decoding.wait(60)
        closing = threads.submit(reader.close)
        with pytest.raises(TimeoutError):
            closing.result(0.1)
        released.set()
        closing.result()
        assert len(block.result()) == 100
        with pytest.raises(ValueError, match="closed"):
            next(blocks)
