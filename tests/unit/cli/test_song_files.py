"""Directories stand for the files in them, and only what claims to be a song must be one."""

from pathlib import Path

import pytest

from spleeter_microservice.cli.song_files import find_songs, is_companion
from spleeter_microservice.errors import (
    EmptyInputError,
    NoAudioStreamError,
    NotAudioError,
    SpleeterError,
    TruncatedInputError,
    UnreadableInputError,
)


def test_a_directory_stands_for_the_files_directly_in_it(tmp_path: Path) -> None:
    (tmp_path / "album" / "disc 2").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("b.mp3", "a.mp3", "disc 2/c.mp3"):
        (tmp_path / "album" / name).touch()
    given = [tmp_path / "missing.mp3", tmp_path / "album", tmp_path / "empty"]
    expected = [
        tmp_path / "missing.mp3",
        tmp_path / "album" / "a.mp3",
        tmp_path / "album" / "b.mp3",
        tmp_path / "empty",
    ]
    assert list(find_songs(given, tmp_path / "out")) == [(path, Path()) for path in expected]


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [
        ("cover.jpg", NotAudioError, True),
        ("README", NotAudioError, True),
        ("Thumbs.db", NotAudioError, True),
        ("desktop.ini", EmptyInputError, True),
        ("._Song.mp3", NotAudioError, True),
        ("screen.gif", NoAudioStreamError, True),
        ("Song.mp3", NotAudioError, False),
        ("Film.MOV", NoAudioStreamError, False),
        ("Song.wav", EmptyInputError, False),
        ("cover.jpg", UnreadableInputError, False),
        ("recording", TruncatedInputError, False),
    ],
)
def test_a_file_without_sound_is_skipped_unless_it_claims_to_be_a_song(
    name: str, error: type[SpleeterError], expected: bool
) -> None:
    assert is_companion(Path("album") / name, error("It is not.")) is expected


def test_a_directory_without_files_is_skipped_beside_songs(tmp_path: Path) -> None:
    assert is_companion(tmp_path, UnreadableInputError("It is a directory."))
