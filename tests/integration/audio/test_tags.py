"""Tags and covers go from a song of any format into stems of any format, where another program reads them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.audio.codecs import CODECS
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.audio.tagging import add_to_file
from spleeter_microservice.audio.tags import LARGEST_COVER, Cover, Tags
from spleeter_microservice.audio.writer import AudioWriter
from spleeter_microservice.errors import InputError
from tests.support.audio_files import RATE, encode_kind, noise, read
from tests.support.tagged_songs import SONG, jpeg, png, put, seen

SOUND = noise(RATE // 2)
COVER = Cover(png(), 4, 3)
REPLAY_GAIN = {"REPLAYGAIN_TRACK_GAIN": "-7 dB", "comment": "ripped", "ISRC": "X", "lyrics": "la"}


def write(path: Path, codec: str, tags: Tags | None) -> Path:
    with AudioWriter(path, OutputFormat(codec), RATE, len(SOUND), tags) as writer:
        writer.write(np.tile(SOUND, OutputFormat(codec).tracks))
        writer.commit()
    return path


def tags_of(path: Path) -> Tags | None:
    with AudioReader(path, tagged=True) as reader:
        return reader.tags


@pytest.mark.parametrize("cover", [COVER, Cover(jpeg(), 4, 3)], ids=["png", "jpeg"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_stem_has_the_tags_and_sounds_as_it_would_without(tmp_path: Path, codec: str, cover: Cover) -> None:
    tags = Tags(SONG, cover).of_output("vocals")
    plain, tagged = (
        write(tmp_path / f"{name}.{CODECS[codec].extension}", codec, each)
        for name, each in (("plain", None), ("tagged", tags))
    )
    np.testing.assert_array_equal(read(tagged), read(plain))
    expected_cover = (cover.data, "image/png" if cover.is_png else "image/jpeg", 3)
    assert seen(tagged) == SONG | {"title": "Söng (vocals)", "cover": expected_cover, "others": []}
    assert tags_of(tagged) == tags
    assert tags_of(plain) is None


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        ("mp3", REPLAY_GAIN),
        ("s16.wav", REPLAY_GAIN),
        ("aiff", REPLAY_GAIN),
        ("flac", REPLAY_GAIN),
        ("ogg", REPLAY_GAIN),
        ("opus", {"R128_TRACK_GAIN": "-300"}),
        ("m4a", {"----:com.apple.iTunes:iTunNORM": " 00000100 00000200"}),
        ("alac.m4a", {}),
        ("wma", {"WM/Lyrics": "la", "replaygain_track_gain": "-7 dB"}),
    ],
)
def test_the_tags_of_every_format_are_read_and_loudness_is_left_out(
    tmp_path: Path, kind: str, others: dict[str, str]
) -> None:
    path = encode_kind(tmp_path / kind, SOUND, kind)
    assert tags_of(put(path, SONG, png(), jpeg(), others=others)) == Tags(SONG, COVER)


def test_bytes_that_are_not_utf8_are_those_of_windows(tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", "wav", Tags({"artist": "Beyonc__", "title": "\u6b4c"}))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"id3 ")].replace(b"Beyonc__", b"Beyonc\xe9\x80"))
    assert tags_of(path) == Tags({"artist": "Beyoncé€", "title": "\u6b4c"})


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"title": "x" * 1_000_000}, {"title": "x" * 500}),
        ({"title": "one\ntwo\x07\x1b[2J", "artist": "\n\t"}, {"title": "one two [2J"}),
        ({"bpm": "fast"}, None),
        ({"bpm": "128.50", "artist": "🎵"}, {"bpm": "128.50", "artist": "🎵"}),
    ],
)
def test_hostile_texts_are_cut_and_cleaned(
    tmp_path: Path, texts: dict[str, str], expected: dict[str, str] | None
) -> None:
    for kind in ("flac", "mp3"):
        path = put(encode_kind(tmp_path / kind, SOUND, kind), texts)
        assert tags_of(path) == (Tags(expected) if expected else None)


@pytest.mark.parametrize("kind", ["flac", "mp3", "m4a", "ogg", "wma"])
def test_a_cover_must_be_a_picture_of_moderate_size(tmp_path: Path, kind: str) -> None:
    small, large = png(padding=60_000), png(padding=LARGEST_COVER)
    for number, (pictures, cover, reason) in enumerate(
        [
            ((large, jpeg()), Cover(jpeg(), 4, 3), ""),
            ((b"GIF89a" + bytes(100), b"<svg/>", png()[:20], png(0, 0)), None, "neither a JPEG nor a PNG"),
            ((large,), None, f"it has {len(large)} bytes"),
            ((small,), Cover(small, 4, 3), ""),
        ]
    ):
        path = put(encode_kind(tmp_path / f"{number}.{kind}", SOUND, kind), {"title": "a"}, *pictures)
        tags = tags_of(path)
        assert tags
        assert tags == Tags({"title": "a"}, cover, tags.no_cover)
        assert reason in tags.no_cover
        assert bool(reason) == bool(tags.no_cover)
        again = write(tmp_path / f"again.{kind}", kind, Tags({"title": "a"}, cover))
        assert tags_of(again) == Tags({"title": "a"}, cover)


@pytest.mark.parametrize("kind", ["mp3", "flac", "m4a", "ogg", "s16.wav", "wma"])
def test_a_song_with_damaged_tags_is_read_as_far_as_without_them(tmp_path: Path, kind: str) -> None:
    path = put(encode_kind(tmp_path / kind, SOUND, kind), SONG, png())
    data = path.read_bytes()
    title = "Söng".encode("utf-16-le" if kind == "wma" else "utf-8")
    for damage in (b"\xff" * 4, bytes(4)):
        place = data.index(title) - 4
        path.write_bytes(data[:place] + damage + data[place + 4 :])
        results = []
        for tagged in (False, True):
            try:
                results.append(read(path, tagged=tagged).tobytes())
            except InputError as error:
                results.append(repr(error).encode())
        assert results[0] == results[1]


def test_a_chunk_is_added_to_rf64_but_not_to_wav_that_is_full(tmp_path: Path) -> None:
    for kind, size in ((b"RF64", 5 << 30), (b"RIFF", (1 << 32) - 10)):
        with (tmp_path / "sparse.wav").open("w+b") as file:
            file.truncate(size)
            file.write(kind + b"\xff\xff\xff\xffWAVEds64" + bytes(28))
            add_to_file(file, OutputFormat("wav"), Tags(SONG))
            added = file.seek(0, os.SEEK_END) - size
            file.seek(0)
            head = file.read(28)
        assert head[4:8] == b"\xff\xff\xff\xff"
        assert (added > 200) == (kind == b"RF64")
        assert int.from_bytes(head[20:28], "little") == (size + added - 8 if added else 0)
