"""Odd files that players play are read to their end, and in step with their times."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.warnings import WARNINGS, AudioWarning
from spleeter_microservice.errors import NoSuchTrackError, TruncatedInputError
from tests.support.audio_files import KINDS, RATE, Waveform, distance, encode, encode_kind, noise, read
from tests.support.films import film

SECONDS = 1.2
SONG = noise(round(SECONDS * RATE))
SECOND = noise(len(SONG), seed=2)


def outcome(path: Path, **options: object) -> tuple[Waveform, list[AudioWarning]]:
    with AudioReader(path, **options) as reader:  # type: ignore[arg-type]
        result = np.concatenate(list(reader.blocks(5000)))
    assert {warning.code for warning in reader.warnings} <= WARNINGS.keys()
    return result, reader.warnings


def codes(path: Path) -> list[str]:
    return [warning.code for warning in outcome(path)[1]]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def data_of(kind: str, folder: Path, song: Waveform = SONG) -> bytes:
    return encode_kind(folder / f"made.{kind}", song, kind).read_bytes()


# Tracks


@pytest.mark.parametrize("muxer", ["mov", "mp4"])
def test_the_track_that_decodes_is_taken(tmp_path: Path, muxer: str) -> None:
    path = film(tmp_path / "memo.qta", muxer, {"eng": SONG, "deu": SECOND})
    *others, unknown, known = path.read_bytes().split(b"trak")
    unknown = unknown.replace(b"mp4a", b"apac").replace(b"esds", b"dapa")
    path.write_bytes(b"trak".join((*others, unknown, known)))
    result, warnings = outcome(path, sample_rate=48_000)
    assert distance(SECOND, result) < -8
    assert warnings == []


@pytest.mark.parametrize("muxer", ["matroska", "mp4"])
def test_a_track_is_chosen_by_number_or_language(tmp_path: Path, muxer: str) -> None:
    path = film(tmp_path / "karaoke", muxer, {"eng": SONG, "deu": SECOND})
    for track, number in ((None, 1), ("2", 2), ("deu", 2), ("DEU", 2), ("1", 1), ("eng", 1)):
        with AudioReader(path, track=track, sample_rate=48_000) as reader:
            result = np.concatenate(list(reader.blocks(5000)))
        assert (reader.track.number, reader.track.language) == (number, ["eng", "deu"][number - 1])
        assert distance([SONG, SECOND][number - 1], result) < -8
    for track in ("0", "3", "fra", "-1"):
        with pytest.raises(NoSuchTrackError, match=rf"no track '{track}'.* tracks: 1 \(eng\), 2 \(deu\)"):
            AudioReader(path, track=track)


@pytest.mark.parametrize("muxer", ["matroska", "mp4", "mpegts"])
def test_the_delay_of_the_sound_is_told_and_kept_on_request(tmp_path: Path, muxer: str) -> None:
    path = film(tmp_path / "film", muxer, {"eng": SONG}, late=0.5)
    with AudioReader(path, sample_rate=48_000) as reader:
        assert reader.start_time == pytest.approx(0.5, abs=0.06)
        start = reader.start_time
    without = read(path, sample_rate=48_000)
    kept = read(path, sample_rate=48_000, keep_delay=True)
    silence = round(start * 48_000)
    assert len(kept) == len(without) + silence
    assert not kept[:silence].any()
    np.testing.assert_array_equal(kept[silence:], without)
    np.testing.assert_array_equal(
        read(path, sample_rate=48_000, keep_delay=True, offset=0.1, duration=0.9), kept[4800 : 4800 + 43_200]
    )


# Times


def with_pause(path: Path, kind: str, seconds: float, factor: float = 1) -> Path:
    """Write a song whose second half comes later, as after a pause, by a clock that may be too fast."""
    recipe = KINDS[kind]
    pages = {"page_duration": "20000"} if kind == "opus" else {}
    with av.open(str(path), "w", format=recipe["muxer"], container_options=pages) as container:
        stream = cast(AudioStream, container.add_stream(recipe["encoder"], rate=48_000))
        stream.codec_context.layout = "stereo"
        resampler = av.AudioResampler(stream.codec_context.format, "stereo", 48_000)
        frame = av.AudioFrame.from_ndarray(SONG.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        packets = [packet for part in resampler.resample(frame) for packet in stream.encode(part)]
        packets += stream.encode(None)
        for number, packet in enumerate(packets):
            assert packet.time_base is not None
            assert packet.pts is not None
            later = round(seconds / packet.time_base) if number >= len(packets) // 2 else 0
            packet.pts = packet.dts = round(packet.pts * factor) + later
            container.mux(packet)
    return path


@pytest.mark.parametrize("kind", ["webm", "live.webm", "opus", "mkv", "index-first.m4a"])
def test_silence_fills_a_pause(tmp_path: Path, kind: str) -> None:
    path = with_pause(tmp_path / "call", kind, 3)
    result, (warning,) = outcome(path, sample_rate=48_000)
    half = len(SONG) / 48_000 / 2
    assert len(result) / 48_000 == pytest.approx(2 * half + 3, abs=0.06)
    assert warning.code == "gap"
    assert warning.position == pytest.approx(half, abs=0.03)
    assert not result[round((half + 0.05) * 48_000) : round((half + 2.95) * 48_000)].any()
    later = result[round(2.95 * 48_000) :]
    assert distance(SONG[len(SONG) // 2 + 4800 :][:9600], later[len(SONG) // 2 + 7200 :][:9600]) < 60
    with pytest.raises(TruncatedInputError, match=r"no sound for 3\.\d\d s"):
        read(path, strict=True)


@pytest.mark.parametrize("kind", ["mkv", "index-first.m4a"])
def test_a_clock_that_is_too_fast_leaves_no_holes(tmp_path: Path, kind: str) -> None:
    result, warnings = outcome(with_pause(tmp_path / "call", kind, 0, factor=1.4), sample_rate=48_000)
    assert len(result) == pytest.approx(len(SONG), abs=3000)
    assert warnings == []


def test_a_pause_beyond_the_stated_duration_is_one_contradiction(tmp_path: Path) -> None:
    data = with_pause(tmp_path / "call", "mkv", 3).read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    short = struct.pack(">d", 1000 * len(SONG) / 48_000)  # milliseconds
    assert codes(written(tmp_path / "short", data[:at] + short + data[at + 8 :])) == ["gap"]
    assert codes(written(tmp_path / "shorter", data[:at] + struct.pack(">d", 1.0) + data[at + 8 :])) == [
        "gap",
        "wrong-length",
    ]


def test_a_time_that_jumps_by_days_is_not_believed(tmp_path: Path) -> None:
    result, (warning,) = outcome(with_pause(tmp_path / "call", "live.webm", 500_000), sample_rate=48_000)
    assert len(result) == pytest.approx(len(SONG), abs=3000)
    assert warning.code == "time-jump"


def test_times_that_step_back_are_told(tmp_path: Path) -> None:
    part = encode(tmp_path / "part", SONG, muxer="mpegts", encoder="aac").read_bytes()
    result, (warning,) = outcome(written(tmp_path / "joined.ts", part + part))
    assert len(result) == pytest.approx(2 * len(SONG), abs=6000)
    assert warning.code == "time-jump"
    assert warning.message.startswith("The times in the file jump back by 1.2")
    assert warning.position == pytest.approx(SECONDS, abs=0.06)


def test_packets_of_avi_are_no_clock(tmp_path: Path) -> None:
    path = encode(tmp_path / "song", noise(16_000), muxer="avi", encoder="aac", rate=8000)
    result, warnings = outcome(path, sample_rate=8000)
    assert len(result) == pytest.approx(16_000, abs=3000)
    assert warnings == []


@pytest.mark.parametrize(
    ("muxer", "encoder", "rate", "start"),
    [("mp3", "libmp3lame", 8000, 0), ("flv", "aac", 44_100, 5 * 44_100), ("nut", "mp2", 44_100, 5 * 44_100)],
)
def test_times_may_begin_anywhere(tmp_path: Path, muxer: str, encoder: str, rate: int, start: int) -> None:
    path = encode(tmp_path / "song", SONG, muxer=muxer, encoder=encoder, rate=rate, start=start)
    result, warnings = outcome(path, sample_rate=rate)
    assert len(result) == pytest.approx(len(SONG), abs=3000)
    assert warnings == []


def test_a_gap_that_ffmpeg_closes_is_told(tmp_path: Path) -> None:
    result, (warning,) = outcome(with_pause(tmp_path / "call.avi", "avi", 3), sample_rate=48_000)
    assert len(result) == pytest.approx(len(SONG), abs=3000)
    assert (warning.code, warning.message[:17]) == ("wrong-length", "The file states 4")


def test_packets_of_avi_need_not_last_as_long_as_stated(tmp_path: Path) -> None:
    data = bytearray(data_of("avi", tmp_path))
    at = data.index(b"strh") + 8 + 20
    data[at : at + 4] = bytes(4)  # FFmpeg then takes a packet for 0.04 s
    result, _ = outcome(written(tmp_path / "song.avi", bytes(data)))
    np.testing.assert_array_equal(result, read(tmp_path / "made.avi"))


# What the content says, whatever the name and the tags


@pytest.mark.parametrize("kind", ["mp3", "headerless.mp3", "flac", "aac", "s16.wav", "ogg", "tta"])
@pytest.mark.parametrize("name", ["song.m4a", "upload"])
def test_a_large_tag_before_the_sound_is_skipped(tmp_path: Path, kind: str, name: str) -> None:
    size = 1_200_000
    tag = b"ID3\x03\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + b"\xff\xd8" * (size // 2)
    made = data_of(kind, tmp_path)
    result, warnings = outcome(written(tmp_path / name, tag + made))
    np.testing.assert_array_equal(result, read(tmp_path / f"made.{kind}"))
    assert warnings == []


@pytest.mark.parametrize("kind", ["s16.wav", "mp3", "opus", "m4a", "wv"])
def test_an_ape_tag_before_the_sound_is_skipped(tmp_path: Path, kind: str) -> None:
    size = struct.pack("<III8x", 44, 1, 0x80000000)
    item, version = struct.pack("<II", 4, 0), struct.pack("<I", 2000)
    header = b"APETAGEX" + version + struct.pack("<III8x", 44 + 1, 1, 0xA0000000)
    tag = header + item + b"A\0Song" + b"APETAGEX" + version + size
    result, warnings = outcome(written(tmp_path / "song", tag[: 32 + 45] + data_of(kind, tmp_path)))
    np.testing.assert_array_equal(result, read(tmp_path / f"made.{kind}"))
    assert warnings == []


@pytest.mark.parametrize(("kind", "times"), [("headerless.mp3", 20_000), ("flac", 100), ("ogg", 100)])
def test_frames_are_found_behind_other_data(tmp_path: Path, kind: str, times: int) -> None:
    data = data_of(kind, tmp_path)[0 if kind == "ogg" else 8 :]  # FLAC then lacks its mark
    path = written(tmp_path / "radio", b"<html>\xff\xfb" * times + data)
    assert len(read(path)) == pytest.approx(len(SONG), abs=3000)


@pytest.mark.parametrize(("muxer", "encoder"), [("caf", "pcm_s24le"), ("mov", "pcm_s16le")])
def test_an_unusual_order_of_channels_is_read(tmp_path: Path, muxer: str, encoder: str) -> None:
    eight = np.repeat(SONG, 4, axis=1)
    path = encode(tmp_path / "song", eight, muxer=muxer, encoder=encoder, layout="7.1")
    for _ in range(5):  # freeing the order twice ends the process sooner or later
        assert read(path).shape == SONG.shape


# MP4


def test_other_boxes_may_come_first(tmp_path: Path) -> None:
    data = encode(tmp_path / "made", SONG, muxer="mov", encoder="pcm_s16le").read_bytes()
    result, warnings = outcome(written(tmp_path / "song", b"\0\0\0\x08wide" + data))
    assert len(result) == len(SONG)
    assert warnings == []


def test_unknown_boxes_are_skipped(tmp_path: Path) -> None:
    data = data_of("m4a", tmp_path)
    at = data.index(b"moov") - 4
    path = written(
        tmp_path / "song.m4a", data[:at] + b"\0\0\0\x10beam12345678" + data[at:] + b"\0\0\0\x08Xtra"
    )
    result, warnings = outcome(path)
    np.testing.assert_array_equal(result, read(tmp_path / "made.m4a"))
    assert warnings == []


# WAV


def patched_wav(folder: Path, field: bytes, offset: int, new: bytes, kind: str = "s16.wav") -> Path:
    data = bytearray(data_of(kind, folder))
    at = data.index(field) + offset
    data[at : at + len(new)] = new
    return written(folder / "song.wav", bytes(data))


SIZES: dict[str, tuple[bytes, int, str]] = {
    "s16.wav": (b"data", 4, "<I"),
    "aiff": (b"SSND", 4, ">I"),
    "w64": (b"data\xf3", 16, "<Q"),
    "caf": (b"data", 4, ">Q"),
    "au": (b".snd", 8, ">I"),
    "dsf": (b"data", 4, "<Q"),
    "dff": (b"DSD ", 4, ">Q"),
}
"""The field with the size of the samples, for each kind: what it follows, the distance, and its format."""


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (0, "wrong-length"),
        (2000, "wrong-length"),
        (100_000, "wrong-length"),
        (1_500_000, "cut-off"),
        (-1, ""),
    ],
)
@pytest.mark.parametrize("kind", SIZES)
def test_samples_are_read_to_their_end_whatever_size_is_stated(
    tmp_path: Path, kind: str, size: int, code: str
) -> None:
    field, offset, form = SIZES[kind]
    path = MAKERS[kind](tmp_path / "song") if kind in MAKERS else encode_kind(tmp_path / "song", SONG, kind)
    expected = read(path)
    data = bytearray(path.read_bytes())
    at = data.rindex(field) + offset
    size &= (1 << 8 * struct.calcsize(form)) - 1
    data[at : at + struct.calcsize(form)] = struct.pack(
        form, 4 * size if "d" in kind[0] and size < 1 << 62 else size
    )
    result, warnings = outcome(written(path, bytes(data)))
    assert len(result) == pytest.approx(len(expected), abs=2000)
    np.testing.assert_array_equal(result[:-2000], expected[: len(result) - 2000])
    assert [warning.code for warning in warnings] == ([code] if code else [])


@pytest.mark.parametrize(("kind", "at"), [("s16.wav", 4), ("aiff", 4), ("w64", 16)])
def test_the_size_of_the_whole_file_may_be_zero(tmp_path: Path, kind: str, at: int) -> None:
    data = bytearray(data_of(kind, tmp_path))
    data[at : at + 4] = bytes(4)
    result, warnings = outcome(written(tmp_path / "song", bytes(data)))
    np.testing.assert_array_equal(result, read(tmp_path / f"made.{kind}"))
    assert warnings == []


def test_a_size_that_overflows_32_bits_is_recognised(tmp_path: Path) -> None:
    beyond = 400_000
    path = patched_wav(tmp_path, b"data", 4, struct.pack("<I", beyond))
    with path.open("r+b") as file:
        file.truncate(path.read_bytes().index(b"data") + 8 + (1 << 32) + beyond)  # a sparse hole
    with AudioReader(path, duration=SECONDS) as reader:
        assert reader.announced_duration == ((1 << 32) + beyond) / 4 / RATE
        assert sum(map(len, reader.blocks(RATE))) == len(SONG)
    assert [warning.code for warning in reader.warnings] == ["wrong-length"]


@pytest.mark.parametrize("size", [0, 1000, 1 << 40, (1 << 63) + 5])
def test_a_size_of_64_bits_may_be_wrong(tmp_path: Path, size: int) -> None:
    options = {"rf64": "always"}
    path = encode(tmp_path / "large.wav", SONG, muxer="wav", encoder="pcm_s16le", container_options=options)
    data = bytearray(path.read_bytes())
    at = data.index(b"ds64") + 16
    data[at : at + 8] = struct.pack("<Q", size)
    assert len(read(written(path, bytes(data)))) == len(SONG)


@pytest.mark.parametrize("size", [0x40000000, 0x80000064, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFF00, 0x60000000])
def test_a_size_that_is_too_large_means_the_end_of_the_file(tmp_path: Path, size: int) -> None:
    path = patched_wav(tmp_path, b"data", 4, struct.pack("<I", size))
    path.write_bytes(path.read_bytes()[: -2 * len(SONG)])  # even a short one is not cut off
    with AudioReader(path) as reader:
        assert reader.announced_duration == pytest.approx(SECONDS / 2, abs=0.001)
        assert sum(map(len, reader.blocks(5000))) == len(SONG) // 2
    assert [warning.code for warning in reader.warnings] in ([], ["wrong-length"])


@pytest.mark.parametrize(("offset", "new"), [(16, b"\x01\0\0\0"), (20, b"\x01\0"), (16, b"\xff" * 6)])
def test_a_wrong_byte_rate_and_block_size_are_ignored(tmp_path: Path, offset: int, new: bytes) -> None:
    path = patched_wav(tmp_path, b"fmt ", offset, new)
    with AudioReader(path) as reader:
        assert reader.announced_duration == pytest.approx(SECONDS, abs=0.001)
    result, (warning,) = outcome(path)
    np.testing.assert_array_equal(result, read(tmp_path / "made.s16.wav"))
    assert warning.code == "wrong-header"


@pytest.mark.parametrize(
    "trailer",
    [
        *(b"", b"LIST\x04\0\0\0INFO", b"id3 \xff\xff\0\0" + bytes(9000), b"TAG" + bytes(125)),
        b"ID3\3\0\0\0\0\x27\x08" + b"x" * 5000,
    ],
)
def test_what_follows_the_samples_of_wav_is_no_sound(tmp_path: Path, trailer: bytes) -> None:
    path = written(tmp_path / "song.wav", data_of("s16.wav", tmp_path) + trailer)
    result, warnings = outcome(path)
    assert len(result) == len(SONG)
    assert warnings == []


# Joined files

JOINED: dict[str, dict[str, Any]] = {
    "alac.caf": {"muxer": "caf", "encoder": "alac"},
    "flv": {"muxer": "flv", "encoder": "aac"},
    "wtv": {"muxer": "wtv", "encoder": "mp2"},
    "voc": {"muxer": "voc", "encoder": "pcm_s16le"},
}


@pytest.mark.parametrize(
    "kind",
    [
        *("s16.wav", "aiff", "ogg", "opus", "flac.ogg", "flac", "mp3", "aac", "tta", "wv", "m4a", "alac.m4a"),
        *("fragmented.mp4", "wtv", "caf", "alac.caf", "w64", "au", "mkv", "avi", "wma", "flv", "voc"),
    ],
)
def test_the_parts_of_joined_files_are_read_whatever_their_format(tmp_path: Path, kind: str) -> None:
    recipe = JOINED.get(kind) or KINDS[kind]
    other = {**recipe, "rate": 24_000 if kind == "opus" else 22_050}
    mono = kind not in ("ogg",)  # FFmpeg's own Vorbis encoder has stereo only
    second = encode(tmp_path / "second", SECOND[:, :1] if mono else SECOND, **other)
    first = encode(tmp_path / "first", SONG, **recipe)
    path = written(tmp_path / "joined", first.read_bytes() + second.read_bytes())
    with AudioReader(path) as reader:
        announced = reader.announced_duration
        result = np.concatenate(list(reader.blocks(5000)))
    lengths = [len(read(first)), len(read(second))]
    assert len(result) == pytest.approx(sum(lengths), abs=3000)
    if kind not in ("flac", "mp3", "aac"):
        assert announced == pytest.approx(sum(lengths) / RATE, abs=0.12)
        assert reader.warnings == []
    if kind == "mp3":  # the second file's delay is left in
        return
    expected = read(second)[:, :1]
    assert distance(expected[4000:16_000], result[lengths[0] :, :1][4000:16_000]) < -8


@pytest.mark.parametrize("first", ["s16.wav", "caf", "m4a", "aiff"])
def test_a_file_of_another_format_that_follows_is_left_out_with_a_warning(tmp_path: Path, first: str) -> None:
    path = written(tmp_path / "joined", data_of(first, tmp_path) + data_of("flac", tmp_path))
    result, (warning,) = outcome(path)
    np.testing.assert_array_equal(result, read(tmp_path / f"made.{first}"))
    assert warning.code == "unread-data"
    assert warning.position == pytest.approx(SECONDS, abs=0.03)


@pytest.mark.parametrize("kind", ["wma", "m4a", "alac.caf", "flac", "tta", "mkv", "avi"])
def test_noise_that_follows_shortens_and_prolongs_nothing(tmp_path: Path, kind: str) -> None:
    whole = encode(tmp_path / "whole", SONG, **(JOINED.get(kind) or KINDS[kind]))
    noisy = whole.read_bytes() + np.random.default_rng(3).bytes(30_000)
    result, warnings = outcome(written(tmp_path / "noisy", noisy))
    np.testing.assert_array_equal(result, read(whole))
    assert [warning.code for warning in warnings] == (["unread-data"] if kind in ("m4a", "alac.caf") else [])


def test_streamed_wav_files_without_sizes_can_be_joined(tmp_path: Path) -> None:
    part = patched_wav(tmp_path, b"data", 4, b"\xff" * 4).read_bytes()
    result, warnings = outcome(written(tmp_path / "joined.wav", part * 3))
    np.testing.assert_array_equal(result, np.tile(read(tmp_path / "made.s16.wav"), (3, 1)))
    assert warnings == []


def test_a_part_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    first, last = data_of("ogg", tmp_path), data_of("opus", tmp_path)
    broken = b"OggS\x00\x02" + bytes(20) + b"\x01\x04what" + bytes(99)
    result, warnings = outcome(written(tmp_path / "radio.ogg", first + broken + last))
    assert len(result) == pytest.approx(len(SONG) * (1 + RATE / 48_000), abs=3000)
    assert [warning.code for warning in warnings] == ["damaged"]


# Lengths


@pytest.mark.parametrize(("more", "expected"), [(1, []), (4000, []), (22_050, ["cut-off"])])
def test_flac_may_state_a_few_samples_too_many(tmp_path: Path, more: int, expected: list[str]) -> None:
    data = bytearray(data_of("flac", tmp_path))
    stated = int.from_bytes(data[18:26], "big")
    data[18:26] = (stated + more).to_bytes(8, "big")
    path = written(tmp_path / "song.flac", bytes(data))
    assert len(read(path)) == len(SONG)
    assert codes(path) == expected


@pytest.mark.parametrize("factor", [2, 0.5])
def test_an_xing_header_may_count_wrongly(tmp_path: Path, factor: float) -> None:
    data = bytearray(data_of("mp3", tmp_path))
    at = max(data.find(b"Xing"), data.find(b"Info"))
    assert data[at + 7] & 3 == 3
    frames = struct.unpack(">I", data[at + 8 : at + 12])[0]
    data[at + 8 : at + 12] = struct.pack(">I", round(frames * factor))
    path = written(tmp_path / "song.mp3", bytes(data))
    assert len(read(path)) == pytest.approx(len(SONG), abs=2500)
    assert codes(path) == ["wrong-length"]


# Formats


@pytest.mark.parametrize(
    ("made", "form"),
    [("dsf", "dsf"), ("dff", "iff"), ("au", "au"), ("caf", "caf"), ("w64", "w64"), ("wv", "wv")],
)
def test_what_the_bundled_decoders_know_is_read(tmp_path: Path, made: str, form: str) -> None:
    path = MAKERS[made](tmp_path / "song")
    with AudioReader(path) as reader:
        assert reader.format_name == form
        assert sum(map(len, reader.blocks(5000))) / RATE == pytest.approx(SECONDS, abs=0.05)


def dsf(path: Path) -> Path:
    """Write DSD64: blocks of 4096 bytes per channel, eight samples of one bit in each byte."""
    size = -(-round(SECONDS * 352_800) // 4096) * 4096
    form = struct.pack(
        "<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 2, 2, 2_822_400, 1, round(SECONDS * 2_822_400), 4096, 0
    )
    data = struct.pack("<4sQ", b"data", 12 + 2 * size) + b"\x69" * (2 * size)
    return written(path, struct.pack("<4sQQQ", b"DSD ", 28, 28 + len(form) + len(data), 0) + form + data)


def dff(path: Path) -> Path:
    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack(">Q", len(content)) + content

    sound = chunk(b"FS  ", struct.pack(">I", 2_822_400)) + chunk(b"CHNL", b"\0\2SLFTSRGT")
    prop = chunk(b"PROP", b"SND " + sound + chunk(b"CMPR", b"DSD \x0enot compressed\0"))
    data = chunk(b"DSD ", b"\x69" * (2 * round(SECONDS * 352_800)))
    return written(path, chunk(b"FRM8", b"DSD " + chunk(b"FVER", b"\1\5\0\0") + prop + data))


def muxed(muxer: str, encoder: str) -> Callable[[Path], Path]:
    return lambda path: encode(path, SONG, muxer=muxer, encoder=encoder)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "dsf": dsf,
    "dff": dff,
    "au": muxed("au", "pcm_s16be"),
    "caf": muxed("caf", "pcm_s16le"),
    "w64": muxed("w64", "pcm_s16le"),
    "wv": muxed("wv", "wavpack"),
}
