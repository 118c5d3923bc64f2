"""What can be decoded of a damaged file is read, with warnings; files that are merely unusual have none."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.warnings import AudioWarning
from spleeter_microservice.errors import TruncatedInputError
from tests.support.audio_files import KINDS, RATE, encode, encode_kind, lag, noise, read, with_pictures

SECONDS = 4
SONG = noise(SECONDS * RATE)

STATES_ITS_END = [
    *("s16.wav", "f64.wav", "aiff", "flac", "mp3", "vbr.mp3", "index-first.m4a", "fragmented.mp4", "ogg"),
    *("flac.ogg", "opus", "wma", "webm", "mkv", "tta", "caf", "w64", "au", "wv", "avi"),
]
INDEX_AT_THE_END = ["m4a", "alac.m4a"]
NOTICES_DAMAGE = ["flac", "mp3", "m4a", "index-first.m4a", "ogg", "flac.ogg", "opus", "webm", "mkv"]


class Files:
    """The bytes of a complete file of each kind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, kind: str) -> bytes:
        path = self._folder / kind
        if not path.exists():
            encode_kind(path, SONG, kind)
        return path.read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("audio"))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def decoded(path: Path) -> tuple[float, list[AudioWarning]]:
    """Return the seconds of a file that can be read, and the warnings."""
    with AudioReader(path) as reader:
        return sum(map(len, reader.blocks(5000))) / RATE, reader.warnings


@pytest.mark.parametrize("kind", STATES_ITS_END)
def test_a_file_that_is_cut_off_is_read_to_its_end_with_a_warning_or_refused(
    tmp_path: Path, files: Files, kind: str
) -> None:
    path = written(tmp_path / f"cut.{kind}", files[kind][: len(files[kind]) * 6 // 10])
    seconds, warnings = decoded(path)
    assert 1.4 < seconds < 2.6
    assert [warning.code for warning in warnings] == ["cut-off"]
    assert warnings[0].position == pytest.approx(seconds, abs=0.001)
    with pytest.raises(TruncatedInputError, match=re.escape(str(path))):
        read(path, strict=True)
    # Resampling delays the output, which must not make a selection incomplete.
    for rate in (RATE, 32_000):
        assert len(read(path, duration=1.2, sample_rate=rate, strict=True)) == round(1.2 * rate)


@pytest.mark.parametrize("kind", ["s16.wav", "aiff", "flac", "mp3", "index-first.m4a", "webm"])
def test_the_stated_length_is_named(tmp_path: Path, files: Files, kind: str) -> None:
    path = written(tmp_path / "cut", files[kind][: len(files[kind]) // 2])
    _, (warning,) = decoded(path)
    assert re.fullmatch(r"The file states [34]\.\d\d s, but ends after \d\.\d\d s\.", warning.message)


@pytest.mark.parametrize("kind", ["s16.wav", "flac", "mp3", "ogg", "index-first.m4a", "mkv"])
def test_a_file_that_is_cut_off_within_its_first_second_is_refused(
    tmp_path: Path, files: Files, kind: str
) -> None:
    path = written(tmp_path / "cut", files[kind][: len(files[kind]) // 6])
    with pytest.raises(
        TruncatedInputError, match=r"cut is cut off.* (only 0\.\d\d s|nothing of it) can be read\. Copy"
    ):
        read(path)


@given(kept=st.floats(0.02, 0.95))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("kind", ["s16.wav", "flac", "ogg", "index-first.m4a"])
def test_any_cut_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, files: Files, kind: str, kept: float
) -> None:
    path = written(tmp_path_factory.mktemp("cut") / "cut", files[kind][: int(len(files[kind]) * kept)])
    with pytest.raises(TruncatedInputError, match=r"cut off|ends after"):
        read(path, strict=True)


@pytest.mark.parametrize("kind", INDEX_AT_THE_END)
def test_a_file_cut_before_its_index_is_reported(tmp_path: Path, files: Files, kind: str) -> None:
    path = written(tmp_path / "cut.m4a", files[kind][: len(files[kind]) // 2])
    with pytest.raises(TruncatedInputError, match=r"cut\.m4a is cut off and nothing of it can be read"):
        read(path)


@pytest.mark.parametrize("kind", NOTICES_DAMAGE)
@pytest.mark.parametrize("filling", ["noise", "zeros", "nothing"])
def test_the_rest_of_a_damaged_file_is_read_with_a_warning_or_refused(
    tmp_path: Path, files: Files, kind: str, filling: str
) -> None:
    data, middle = files[kind], len(files[kind]) // 2
    size = 6000
    inserted = {"noise": np.random.default_rng(2).bytes(size), "zeros": bytes(size), "nothing": b""}[filling]
    path = written(tmp_path / "bad", data[:middle] + inserted + data[middle + size :])
    with pytest.raises(TruncatedInputError):
        read(path, strict=True)
    if (kind, filling) == ("m4a", "nothing"):  # its index is displaced
        return
    seconds, warnings = decoded(path)
    assert 1.6 < seconds < 4.1
    assert warnings
    # Where pages of Ogg are missing, time passes without sound, as in a pause.
    assert warnings[0].code in ("damaged", "cut-off", "wrong-length", "gap")
    assert 0.9 < warnings[0].position < 2.6


@pytest.mark.parametrize("kind", ["flac", "index-first.m4a", "flac.ogg", "wma"])
def test_silence_replaces_what_is_damaged(tmp_path: Path, files: Files, kind: str) -> None:
    data = bytearray(files[kind])
    data[len(data) // 2 : len(data) // 2 + 6000] = bytes(6000)
    result = read(written(tmp_path / "bad", bytes(data)))
    whole = read(written(tmp_path / "good", files[kind]))
    assert len(result) == pytest.approx(len(whole), abs=100)
    assert lag(whole[-RATE:], result[-RATE:]) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("appended", ["nothing", "noise", "zeros", "ID3v1", "APE"])
def test_data_after_the_end_of_a_file_is_not_damage(
    tmp_path: Path, files: Files, kind: str, appended: str
) -> None:
    more = {
        "nothing": b"",
        "noise": np.random.default_rng(3).bytes(3000),
        "zeros": bytes(3000),
        "ID3v1": b"TAG" + b"x" * 125,
        "APE": ape_tag(),
    }[appended]
    path = written(tmp_path / f"song.{kind}", files[kind] + more)
    expected = len(SONG) * RATE / KINDS[kind].get("rate", RATE)
    assert len(read(path)) == pytest.approx(expected, abs=4096)


def ape_tag() -> bytes:
    item = struct.pack("<II", 4, 0) + b"Title\0" + b"Song"
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, 0) + bytes(8)
    return item + footer


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000, 0xFFFFFFFF - 36])
def test_a_wav_file_with_a_placeholder_for_its_size_is_read_whole(
    tmp_path: Path, files: Files, size: int
) -> None:
    data = bytearray(files["s16.wav"])
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size)
    data[4:8] = struct.pack("<I", size)
    assert len(read(written(tmp_path / "piped.wav", bytes(data)))) == len(SONG)


def test_large_wav_files_state_their_end_in_64_bits(tmp_path: Path) -> None:
    options = {"rf64": "always"}
    path = encode(tmp_path / "large.wav", SONG, muxer="wav", encoder="pcm_s16le", container_options=options)
    assert path.read_bytes()[:4] == b"RF64"
    assert len(read(path)) == len(SONG)
    written(path, path.read_bytes()[:300_000])
    assert decoded(path)[1][0].message == "The file states 4.00 s, but ends after 1.70 s."


def test_a_wav_file_of_more_than_4_gib_is_read(tmp_path: Path) -> None:
    options = {"rf64": "always"}
    path = encode(tmp_path / "large.wav", SONG, muxer="wav", encoder="pcm_s16le", container_options=options)
    size = 5_000_000_000
    data = path.read_bytes()
    at = data.index(b"ds64") + 16
    with path.open("r+b") as file:  # the rest is a sparse hole
        file.seek(at)
        file.write(size.to_bytes(8, "little") + (size // 4).to_bytes(8, "little"))
        file.truncate(data.index(b"data") + 8 + size)
    with AudioReader(path, duration=SECONDS) as reader:
        assert reader.announced_duration == size / 4 / RATE
        assert sum(map(len, reader.blocks(RATE))) == len(SONG)


def test_a_flac_file_without_a_number_of_samples_is_read_whole(tmp_path: Path, files: Files) -> None:
    data = bytearray(files["flac"])
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # the number of samples
    assert len(read(written(tmp_path / "piped.flac", bytes(data)))) == len(SONG)


def test_an_mp3_file_of_variable_bitrate_without_a_header_is_read_whole(tmp_path: Path) -> None:
    song = np.concatenate([SONG, np.zeros_like(SONG), SONG])
    options = {**KINDS["vbr.mp3"], "container_options": {"write_xing": "0"}}
    assert len(read(encode(tmp_path / "a.mp3", song, **options))) == pytest.approx(len(song), abs=3000)


def test_concatenated_files_are_read_one_after_the_other(tmp_path: Path, files: Files) -> None:
    for kind in ("mp3", "ogg", "flac.ogg", "flac", "aac", "headerless.mp3"):
        path = written(tmp_path / f"joined.{kind}", files[kind] + files[kind])
        assert len(read(path)) == pytest.approx(2 * len(SONG), abs=6000), kind


def test_a_large_picture_before_the_sound_is_not_damage(tmp_path: Path, files: Files) -> None:
    size = 300_000
    sizes = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\x03\0\0" + sizes + np.random.default_rng(4).bytes(size)
    for kind in ("mp3", "headerless.mp3"):
        path = written(tmp_path / "song.mp3", tag + tag + files[kind])
        assert len(read(path)) == pytest.approx(len(SONG), abs=3000)


@pytest.mark.parametrize("kind", ["ogg", "opus", "webm", "mkv"])
def test_a_recording_need_not_begin_at_zero(tmp_path: Path, kind: str) -> None:
    path = encode(tmp_path / f"late.{kind}", SONG, start=100 * RATE, **KINDS[kind])
    expected = len(SONG) * RATE / KINDS[kind].get("rate", RATE)
    assert len(read(path)) == pytest.approx(expected, abs=4096)


def test_an_edit_list_in_milliseconds_is_followed(tmp_path: Path) -> None:
    path = encode(tmp_path / "song.m4a", SONG[:-100], muxer="ipod", encoder="aac")
    assert len(read(path)) == pytest.approx(len(SONG) - 100, abs=RATE / 1000)


def test_a_film_whose_sound_is_shorter_than_its_pictures_is_not_damaged(tmp_path: Path) -> None:
    path = with_pictures(tmp_path / "film.mkv", SONG[:RATE], "matroska", "mpeg4", "aac", pictures=200)
    assert len(read(path)) == pytest.approx(RATE, abs=2048)


def test_nothing_is_printed_about_damage(tmp_path: Path, files: Files) -> None:
    for kind in NOTICES_DAMAGE:
        data = bytearray(files[kind])
        data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
        written(tmp_path / f"bad.{kind}", bytes(data))
    script = (
        "import sys; from pathlib import Path\n"
        "from spleeter_microservice.errors import InputError\n"
        "from spleeter_microservice.audio.reader import AudioReader\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        with AudioReader(Path(name)) as reader: list(reader.blocks(9999))\n"
        "    except InputError: continue\n"
        "    if not reader.warnings: raise SystemExit(name)\n"
    )
    names = sorted(map(str, tmp_path.iterdir()))
    result = subprocess.run(
        [sys.executable, "-c", script, *names], check=False, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
