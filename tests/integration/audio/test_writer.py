"""Stems are written as they are, complete or not at all."""

from __future__ import annotations

import errno
import io
import os
import resource
import stat
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import Buffer

from spleeter_microservice.audio.codecs import CODECS, Codec
from spleeter_microservice.audio.encoder import StemEncoder
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.errors import DiskFullError, EncodingError, UnwritableOutputError
from tests.support.audio_files import RATE, Waveform, distance, lag, noise, read

SONG = noise(2 * RATE + 321)
FORMATS = [*(OutputFormat(codec) for codec in CODECS), OutputFormat("wav", bit_depth="24")]
FORMATS += [OutputFormat(codec, bit_depth="24") for codec in ("flac", "alac", "aiff")]
FORMATS += [OutputFormat(codec, bit_depth="32f") for codec in ("wav", "aiff")]
LOSSY = [codec.name for codec in CODECS.values() if codec.kilobits]


def name(output_format: OutputFormat) -> str:
    return f"{output_format.codec}{output_format.bit_depth or ''}"


def write(path: Path, waveform: Waveform, output_format: OutputFormat, size: int = 7777) -> int:
    waveform = np.tile(waveform, output_format.tracks)
    with AudioWriter(path, output_format) as writer:
        for start in range(0, len(waveform), size):
            writer.write(waveform[start : start + size])
        writer.finish()
        writer.commit()
    return writer.clipped_samples // output_format.tracks


def quantised(waveform: Waveform, bits: int) -> Waveform:
    scale = 2.0 ** (bits - 1)
    return np.asarray(np.clip(np.rint(waveform * scale), -scale, scale - 1) / scale, np.float32)


@pytest.mark.parametrize("output_format", FORMATS, ids=name)
def test_a_stem_has_its_length_and_its_place_in_time_in_every_format(
    tmp_path: Path, output_format: OutputFormat
) -> None:
    path = tmp_path / f"vocals.{output_format.codec}"
    assert write(path, SONG, output_format) == 0
    result = read(path)
    if output_format.codec == "wma":  # cannot say where it ends
        assert len(SONG) <= len(result) < len(SONG) + 2 * 2048
    else:
        assert result.shape == SONG.shape
    assert lag(SONG, result) == 0
    assert distance(SONG, result) < -8
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


@pytest.mark.parametrize("frames", [2, 64, 1000, 1025, 2049, 5000, 9217, 12_288])
@pytest.mark.parametrize("codec", LOSSY)
def test_short_stems_keep_their_length(tmp_path: Path, codec: str, frames: int) -> None:
    path = tmp_path / f"short.{codec}"
    write(path, SONG[:frames], OutputFormat(codec))
    excess = len(read(path)) - frames
    if codec == "wma":  # cannot say where it ends
        assert 0 <= excess <= 4096
    else:  # the header of MP3 cannot say how much of two blocks is padding
        assert excess == (max(0, 47 - frames) if codec == "mp3" else 0)


@pytest.mark.parametrize("frames", [2, 1000, 1024, 1025, 2047, 2049, 12_288, 12_289])
@pytest.mark.parametrize("wrong_by", [0, 700, -700])
def test_plain_decoders_find_the_end_of_aac_whose_length_was_known(
    tmp_path: Path, frames: int, wrong_by: int
) -> None:
    path = tmp_path / "stem.m4a"
    with AudioWriter(path, OutputFormat("m4a"), RATE, max(0, frames + wrong_by)) as writer:
        writer.write(SONG[:frames])
        writer.commit()
    with av.open(path) as container:
        plain = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1).T
    if frames >= 1024 and not wrong_by:
        assert len(plain) == frames
    assert 0 <= len(plain) - frames < 1024
    own = read(path)
    assert len(own) == frames
    np.testing.assert_allclose(plain[:frames], own, atol=1e-3)
    if frames > 2000:
        assert lag(SONG[:frames], own) == 0


@pytest.mark.parametrize("output_format", FORMATS, ids=name)
def test_a_stem_without_frames_is_still_a_file(tmp_path: Path, output_format: OutputFormat) -> None:
    path = tmp_path / f"nothing.{output_format.codec}"
    write(path, SONG[:0], output_format)
    assert path.exists()


@given(
    frames=st.integers(1, 12_000),
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
    output_format=st.sampled_from([each for each in FORMATS if each.codec not in LOSSY]),
)
@settings(max_examples=40, deadline=None)
def test_lossless_stems_are_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, frames: int, sizes: list[int], output_format: OutputFormat
) -> None:
    path = tmp_path_factory.mktemp("stems") / "stem"
    song = 2 * SONG[:frames]
    with AudioWriter(path, output_format) as writer:
        position, turn = 0, 0
        while position < frames:
            size = sizes[turn % len(sizes)]
            writer.write(song[position : position + size])
            position, turn = position + size, turn + 1
        writer.commit()
    bits = {"32f": None, "24": 24, None: 16}[output_format.bit_depth]
    np.testing.assert_array_equal(read(path), song if bits is None else quantised(song, bits), strict=True)


@pytest.mark.parametrize("output_format", FORMATS, ids=name)
def test_samples_beyond_full_scale_are_clamped_and_counted_and_never_wrap(
    tmp_path: Path, output_format: OutputFormat
) -> None:
    times = np.arange(RATE) / RATE
    song = np.stack([4 * np.sign(np.sin(2 * np.pi * 330 * times)), np.ones(RATE)], axis=1).astype(np.float32)
    path = tmp_path / f"loud.{output_format.codec}"
    clipped = write(path, song, output_format)
    result, expected = read(path)[:RATE, 0], np.clip(song[:, 0], -1, 1)
    # Full scale itself, as in the second channel, is not beyond.
    assert clipped == (0 if output_format.bit_depth == "32f" else np.count_nonzero(song[:, 0]))
    if output_format.bit_depth == "32f":
        np.testing.assert_array_equal(result, song[:, 0])
    elif output_format.codec in LOSSY:
        assert np.mean(np.sign(result) == np.sign(expected)) > 0.98
    else:
        np.testing.assert_allclose(result, expected, rtol=0, atol=2**-14)


def test_rounding_and_clamping_are_those_of_ffmpeg(tmp_path: Path) -> None:
    values = np.concatenate([np.linspace(-1.1, 1.1, 9999), np.arange(-9, 9) / 65536]).astype(np.float32)
    song = np.stack([values, values[::-1]], axis=1)
    write(tmp_path / "song.wav", song, OutputFormat())
    frame = av.AudioFrame.from_ndarray(song.reshape(1, -1), format="flt", layout="stereo")
    frame.sample_rate = RATE
    (converted,) = av.AudioResampler(format="s16", layout="stereo", rate=RATE).resample(frame)
    expected = converted.to_ndarray().reshape(-1, 2) / np.float32(32768)
    np.testing.assert_array_equal(read(tmp_path / "song.wav"), expected)


@pytest.mark.parametrize(("codec", "depth"), [("wav", "16"), ("flac", "16"), ("wav", "24"), ("alac", "24")])
def test_dither_keeps_the_mean_below_a_step_with_noise_of_constant_power(
    tmp_path: Path, codec: str, depth: str
) -> None:
    step = np.float32(2.0 ** (1 - int(depth)))
    levels = np.array([0, 0.3, 0.5, -0.9], np.float32)
    song = np.repeat(levels * step, RATE)[:, np.newaxis] * np.ones(2, np.float32)
    chosen = OutputFormat(codec, bit_depth=depth, dither=True)
    paths = [tmp_path / name / f"{stem}.{codec}" for name, stem in (("1", "a"), ("1", "b"), ("2", "a"))]
    for path in paths:
        write(path, song, chosen)
    errors = [((read(path) - song) / step).reshape(4, -1) for path in paths]
    np.testing.assert_allclose(errors[0].mean(axis=1), 0, atol=0.01)
    np.testing.assert_allclose(errors[0].var(axis=1), 1 / 4, atol=0.01)
    assert abs(np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1]) < 0.01
    np.testing.assert_array_equal(errors[0], errors[2])


def test_dither_does_not_wrap_samples_of_full_scale(tmp_path: Path) -> None:
    song = np.tile(np.array([[-1], [1]], np.float32), (1000, 2))
    write(tmp_path / "stem.wav", song, OutputFormat(dither=True))
    np.testing.assert_allclose(read(tmp_path / "stem.wav"), song, rtol=0, atol=3 / 32768)


@pytest.mark.parametrize("codec", ["mp3", "m4a", "opus", "wma", "ogg"])
def test_the_bitrate_is_kept(tmp_path: Path, codec: str) -> None:
    # Vorbis has none: the quality was measured with music, and noise takes more.
    song = np.clip(np.random.default_rng(5).standard_normal((5 * RATE, 2)) / 5, -1, 1).astype(np.float32)
    sizes = []
    for bitrate in (96_000, 192_000):
        path = tmp_path / f"{bitrate}.{codec}"
        write(path, song, OutputFormat(codec, bitrate=str(bitrate)))
        sizes.append(path.stat().st_size * 8 / 5)
    assert sizes[0] < 0.85 * sizes[1]
    if codec != "ogg":
        assert sizes == pytest.approx([96_000, 192_000], rel=0.5 if codec == "wma" else 0.1)


@pytest.mark.parametrize(
    ("output_format", "codec", "sample_format"),
    [
        (OutputFormat("wav"), "pcm_s16le", "s16"),
        (OutputFormat("wav", bit_depth="24"), "pcm_s24le", "s32"),
        (OutputFormat("wav", bit_depth="32f"), "pcm_f32le", "flt"),
        (OutputFormat("flac"), "flac", "s16"),
        (OutputFormat("flac", bit_depth="24"), "flac", "s32"),
        (OutputFormat("alac"), "alac", "s16p"),
        (OutputFormat("alac", bit_depth="24"), "alac", "s32p"),
        (OutputFormat("aiff"), "pcm_s16be", "s16"),
        (OutputFormat("aiff", bit_depth="24"), "pcm_s24be", "s32"),
        (OutputFormat("aiff", bit_depth="32f"), "pcm_f32be", "flt"),
        (OutputFormat("ogg"), "vorbis", "fltp"),
        (OutputFormat("m4a"), "aac", "fltp"),
        (OutputFormat("wma"), "wmav2", "fltp"),
    ],
    ids=lambda value: name(value) if isinstance(value, OutputFormat) else value,
)
def test_the_file_is_what_its_name_says(
    tmp_path: Path, output_format: OutputFormat, codec: str, sample_format: str
) -> None:
    path = tmp_path / f"stem.{output_format.codec}"
    write(path, SONG, output_format)
    with av.open(str(path)) as container:
        context = container.streams.audio[0].codec_context
        assert (context.name, context.format.name, context.sample_rate) == (codec, sample_format, RATE)
    if output_format.codec in ("wav", "flac", "aiff"):
        np.testing.assert_array_equal(soundfile.read(path, dtype="float32")[0], read(path))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_other_sample_rates_can_be_written(tmp_path: Path, codec: str, rate: int) -> None:
    path = tmp_path / f"stem.{codec}"
    song = noise(rate + 77)
    with AudioWriter(path, OutputFormat(codec, bitrate="64k"), sample_rate=rate) as writer:
        writer.write(np.tile(song, OutputFormat(codec).tracks))
        writer.commit()
    result = read(path, sample_rate=rate)
    assert len(result) == len(song) or codec == "wma"
    assert lag(song, result) == 0


@pytest.mark.parametrize(
    "codec", [codec for codec in CODECS.values() if codec.has_mono], ids=lambda c: c.name
)
def test_mono_can_be_written_at_the_lowest_rate_and_the_highest_bitrate(tmp_path: Path, codec: Codec) -> None:
    path = tmp_path / f"stem.{codec.name}"
    rate = codec.rates[0]
    highest = f"{codec.kilobits[1]}k" if codec.kilobits else None
    song = np.repeat(noise(2 * 5 * 1152 + 99, 1), 2, axis=1)
    chosen = OutputFormat(codec.name, highest, sample_rate=rate, channels=1)
    with AudioWriter(path, chosen, rate, len(song)) as writer:
        writer.write(song)
        writer.commit()
    with AudioReader(path, sample_rate=None) as reader:
        result = np.concatenate(list(reader.blocks(5000)))
    assert (reader.sample_rate, reader.source_channels) == (rate, 1)
    assert len(result) == len(song) or codec.name == "wma"
    assert lag(song, result) == 0


class Hole:
    """A file that keeps no more than its beginning; the rest is zeros."""

    name = ""
    closed = False

    def __init__(self) -> None:
        self.beginning = bytearray(200)
        self.position = self.size = 0

    def read(self, size: int) -> bytes:
        start, self.position = self.position, min(self.position + size, self.size)
        return bytes(self.beginning[start : self.position]).ljust(self.position - start, b"\0")

    def write(self, data: bytes) -> int:
        part = data[: max(0, len(self.beginning) - self.position)]
        self.beginning[self.position : self.position + len(part)] = part
        self.position += len(data)
        self.size = max(self.size, self.position)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def tell(self) -> int:
        return self.position


@pytest.mark.parametrize(("seconds", "header"), [(1, b"RIFF"), (12_300, b"RF64")])
def test_wav_files_of_more_than_4_gib_have_a_header_of_64_bits(seconds: int, header: bytes) -> None:
    hole = Hole()
    encoder = StemEncoder(hole, OutputFormat(bit_depth="32f"), RATE)
    silence = np.zeros((100 * RATE, 2), np.float32)
    for _ in range(seconds // 100):
        encoder.write(silence)
    encoder.write(silence[: seconds % 100 * RATE])
    encoder.finish()
    assert bytes(hole.beginning[:4]) == header
    if header == b"RF64":
        assert int.from_bytes(hole.beginning[28:36], "little") == seconds * RATE * 8 > 2**32
    hole.seek(0)
    with soundfile.SoundFile(hole) as file:
        assert (file.samplerate, file.channels, file.subtype) == (RATE, 2, "FLOAT")
        assert file.frames == seconds * RATE
        assert file.seek(-3, io.SEEK_END) == seconds * RATE - 3
        assert len(file.read()) == 3


def test_aiff_files_of_more_than_4_gib_are_refused() -> None:
    hole = Hole()
    encoder = StemEncoder(hole, OutputFormat("aiff", bit_depth="32f"), RATE)
    hole.tell = lambda: (1 << 32) - (1 << 20)  # type: ignore[method-assign]
    with pytest.raises(EncodingError, match="AIFF files cannot be larger than 4 GiB"):
        encoder.write(SONG)
    encoder.abandon()


def test_strict_programs_find_no_fault_in_a_stem_and_see_its_duration(tmp_path: Path) -> None:
    for output_format in FORMATS:
        path = tmp_path / f"stem.{output_format.codec}"
        write(path, SONG, output_format)
        with av.open(path, options={"err_detect": "explode"}) as container:
            assert container.duration is not None
            assert container.duration / av.time_base == pytest.approx(len(SONG) / RATE, abs=0.15)
            assert sum(frame.samples for frame in container.decode(audio=0)) >= len(SONG)


# Names, folders and traces


def test_the_name_is_given_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "stem.wav"
    path.write_text("the file of yesterday")
    with AudioWriter(path, OutputFormat()) as writer:
        writer.write(SONG)
        writer.finish()
        assert path.read_text() == "the file of yesterday"
        (temporary,) = set(tmp_path.iterdir()) - {path}
        assert temporary.name.startswith(".")
        assert temporary.stat().st_size > SONG.size * 2
        writer.commit()
    assert len(read(path)) == len(SONG)
    assert set(tmp_path.iterdir()) == {path}


def test_committing_finishes_and_may_not_be_followed_by_more(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "stem.wav", OutputFormat()) as writer:
        writer.write(SONG)
        writer.commit()
        with pytest.raises(ValueError, match="finished or discarded"):
            writer.write(SONG)
    assert len(read(tmp_path / "stem.wav")) == len(SONG)


@pytest.mark.parametrize("length", [255, 250])
def test_the_longest_names_can_be_written(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * (length - 4) + ".wav")
    write(path, SONG, OutputFormat())
    assert len(read(path)) == len(SONG)


@pytest.mark.parametrize("stem", ["-rf", "%d", "a:b", "http:", "Ünïcödé 歌", "new\nline", "pipe:1", "a|b"])
def test_any_name_can_be_written(tmp_path: Path, stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for codec in ("wav", "m4a"):
        write(Path(f"{stem}.{codec}"), SONG[:5000], OutputFormat(codec))
        assert len(read(Path(f"{stem}.{codec}"))) == 5000


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "stem.wav", SONG, OutputFormat())
    assert len(read(tmp_path / "a" / "b" / "stem.wav")) == len(SONG)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("stage", ["opened", "written", "finished"])
def test_a_discarded_stem_leaves_nothing_not_even_its_folders(tmp_path: Path, codec: str, stage: str) -> None:
    with AudioWriter(tmp_path / "a" / "b" / f"stem.{codec}", OutputFormat(codec)) as writer:
        if stage != "opened":
            writer.write(np.tile(SONG, OutputFormat(codec).tracks))
        if stage == "finished":
            writer.finish()
        writer.discard()
        writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_discarding_waits_until_no_other_thread_encodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, released = threading.Event(), threading.Event()
    write_at_once = StemEncoder.write

    def write_when_released(encoder: StemEncoder, waveform: Waveform) -> None:
        encoding.set()
        assert released.wait(60)
        write_at_once(encoder, waveform)

    monkeypatch.setattr(StemEncoder, "write", write_when_released)
    stem = tmp_path / "a" / "stem.wav"
    with AudioWriter(stem, OutputFormat()) as writer, ThreadPoolExecutor(2) as threads:
        pending = threads.submit(writer.write, SONG)
        assert encoding.wait(60)
        discarding = threads.submit(writer.discard)
        with pytest.raises(TimeoutError):
            discarding.result(0.1)
        released.set()
        discarding.result()
        pending.result()
        with pytest.raises(ValueError, match="finished or discarded"):
            writer.write(SONG)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_or_hold_something_else_are_kept(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with AudioWriter(tmp_path / "old" / "stem.wav", OutputFormat()):
        pass
    with AudioWriter(tmp_path / "new" / "stem.wav", OutputFormat()):
        (tmp_path / "new" / "other").touch()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new", "old"]
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["other"]


def test_an_exception_in_between_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), AudioWriter(tmp_path / "a" / "s.wav", OutputFormat()) as writer:  # noqa: PT012
        writer.write(SONG)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_several_stems_can_be_written_at_once_to_one_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "song"
    threads = [
        threading.Thread(target=write, args=(folder / f"{codec}.x", SONG, OutputFormat(codec)))
        for codec in CODECS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.stem for each in folder.iterdir()) == sorted(CODECS)


# What cannot be written


def test_a_file_in_the_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "stem.wav", tmp_path / "file" / "a" / "stem.wav"):
        with pytest.raises(UnwritableOutputError, match=r"stem\.wav cannot be written: .* or choose another"):
            AudioWriter(path, OutputFormat())
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_in_the_place_of_the_stem_is_reported(tmp_path: Path) -> None:
    (tmp_path / "stem.wav").mkdir()
    with pytest.raises(UnwritableOutputError, match="it is a directory"):
        AudioWriter(tmp_path / "stem.wav", OutputFormat())
    assert [each.name for each in tmp_path.iterdir()] == ["stem.wav"]


def test_a_folder_that_takes_the_name_meanwhile_is_reported(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "stem.wav", OutputFormat()) as writer:
        writer.write(SONG)
        (tmp_path / "stem.wav").mkdir()
        with pytest.raises(UnwritableOutputError, match="cannot be written"):
            writer.commit()
    assert [each.name for each in tmp_path.iterdir()] == ["stem.wav"]


@pytest.mark.parametrize("stem", ["x" * 256, "zero\0byte"])
def test_a_name_that_cannot_be_is_reported(tmp_path: Path, stem: str) -> None:
    with pytest.raises(UnwritableOutputError, match="cannot be written"):
        AudioWriter(tmp_path / "new" / stem, OutputFormat())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def refusing() -> Iterator[Path]:
    """A folder without the permission to write; for its duration one is not root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(stat.S_IRWXU)
        assert list(folder.iterdir()) == []
        folder.rmdir()


def test_a_folder_that_refuses_files_is_reported(refusing: Path) -> None:
    for path in (refusing / "stem.wav", refusing / "new" / "stem.wav"):
        with pytest.raises(UnwritableOutputError, match=r"Permission denied.*Check the directory"):
            AudioWriter(path, OutputFormat())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("depth", ["16", "32f"])
def test_samples_that_are_not_finite_numbers_are_refused(tmp_path: Path, value: float, depth: str) -> None:
    song = SONG.copy()
    song[RATE] = value
    with pytest.raises(EncodingError, match=r"stem\.wav .* not finite numbers"):
        write(tmp_path / "stem.wav", song, OutputFormat(bit_depth=depth))
    assert list(tmp_path.iterdir()) == []


def test_what_the_encoder_refuses_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[str, Codec]", CODECS), "wma", replace(CODECS["wma"], rates=(192_000,)))
    with pytest.raises(EncodingError, match=r"stem\.wma could not be encoded: .* Choose another"):
        AudioWriter(tmp_path / "stem.wma", OutputFormat("wma"), sample_rate=192_000)
    assert list(tmp_path.iterdir()) == []


def test_a_waveform_of_another_shape_is_a_mistake(tmp_path: Path) -> None:
    for shape in ((2, 1000), (1000,), (1000, 1)):
        with (
            pytest.raises(ValueError, match="shape"),
            AudioWriter(tmp_path / "s.wav", OutputFormat()) as writer,
        ):
            writer.write(np.zeros(shape, np.float32))
    assert list(tmp_path.iterdir()) == []


class FileOnAFullDisk(io.FileIO):
    """A file that no more than 256 KiB can be written to."""

    def write(self, data: Buffer) -> int:
        if self.tell() + len(memoryview(data)) > 256 << 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def open_on_a_full_disk(path: Path, mode: str, buffering: int) -> io.BufferedWriter:
    return io.BufferedWriter(FileOnAFullDisk(path, mode), buffering)


@pytest.mark.parametrize("codec", CODECS)
def test_a_full_disk_is_reported_and_nothing_left(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", open_on_a_full_disk)
    song = np.clip(np.random.default_rng(6).standard_normal((20 * RATE, 2)), -1, 1).astype(np.float32)
    with pytest.raises(DiskFullError, match=rf"No space is left in .*/new for stem\.{codec}"):
        write(tmp_path / "new" / f"stem.{codec}", song, OutputFormat(codec, bitrate="320k"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def limited_size() -> Iterator[int]:
    """A limit to the size of files, which every system has, with an error of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.usefixtures("limited_size")
def test_a_file_that_may_not_grow_is_reported_and_nothing_left(tmp_path: Path, codec: str) -> None:
    song = np.clip(np.random.default_rng(6).standard_normal((20 * RATE, 2)), -1, 1).astype(np.float32)
    with pytest.raises(DiskFullError, match=os.strerror(errno.EFBIG)):
        write(tmp_path / f"stem.{codec}", song, OutputFormat(codec, bitrate="320k"))
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_shows_only_at_the_end_is_reported(tmp_path: Path, limited_size: int) -> None:
    # So little that it stays in the buffers until the file is closed.
    song = SONG[: limited_size // 4 + 1]
    with AudioWriter(tmp_path / "stem.wav", OutputFormat()) as writer:
        writer.write(song)
        with pytest.raises(DiskFullError):
            writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_prints_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, limited_size: int
) -> None:
    with pytest.raises(DiskFullError):
        write(tmp_path / "stem.m4a", np.tile(SONG, (20, 1)), OutputFormat("m4a"))
    assert capfd.readouterr() == ("", "")


def test_reader_and_writer_work_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "song.wav", SONG, OutputFormat())
    with (
        AudioReader(tmp_path / "song.wav") as reader,
        AudioWriter(tmp_path / "copy.flac", OutputFormat("flac")) as writer,
    ):
        for block in reader.blocks(4096):
            writer.write(block)
        writer.commit()
    np.testing.assert_array_equal(read(tmp_path / "copy.flac"), read(tmp_path / "song.wav"))
