"""Stems are written below the chosen directory, whatever the song is called."""

from pathlib import Path

import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.stem_paths import FILENAME_FORMAT, stem_paths


@pytest.mark.parametrize(
    ("source", "template", "expected"),
    [
        ("a/My song.mp3", FILENAME_FORMAT, "My song/vocals.wav"),
        ("a/...mp3", FILENAME_FORMAT, "...mp3/vocals.wav"),
        ("a/..mp3", FILENAME_FORMAT, "..mp3/vocals.wav"),
        ("a/....wav", FILENAME_FORMAT, "....wav/vocals.wav"),
        ("a/. ..mp3", FILENAME_FORMAT, ". ..mp3/vocals.wav"),
        ("a/ .mp3", FILENAME_FORMAT, " .mp3/vocals.wav"),
        ("a/.mp3", FILENAME_FORMAT, ".mp3/vocals.wav"),
        ("a/...", FILENAME_FORMAT, "song/vocals.wav"),
        ("/song.mp3", "{foldername}/{filename}/{instrument}.{codec}", "folder/song/vocals.wav"),
        ("a/song.mp3", "{filename}/../{instrument}.{codec}", "song/../vocals.wav"),
    ],
)
def test_a_stem_is_named_after_its_song(source: str, template: str, expected: str) -> None:
    paths = stem_paths(Path(source), ["vocals"], Path("out"), template, "wav")
    assert paths == {"vocals": Path("out") / expected}


def test_the_extension_is_that_of_the_codecs_files() -> None:
    paths = [
        stem_paths(Path("song.mp3"), ["vocals"], Path(), FILENAME_FORMAT, codec) for codec in ("alac", "ape")
    ]
    assert [path["vocals"].name for path in paths] == ["vocals.m4a", "vocals.ape"]


@pytest.mark.parametrize(
    ("template", "stem"),
    [
        ("../{filename}.{instrument}", "vocals"),
        ("/{filename}.{instrument}", "vocals"),
        ("{filename}/../../{instrument}", "vocals"),
        (FILENAME_FORMAT, "../../vocals"),
        ("{instrument}", "/vocals"),
    ],
)
@pytest.mark.parametrize("destination", ["out", ".", "a/../out"])
def test_a_path_outside_the_directory_is_refused(template: str, stem: str, destination: str) -> None:
    with pytest.raises(ConfigurationError, match="outside"):
        stem_paths(Path("song.mp3"), [stem], Path(destination), template, "wav")
