"""Songs among the files that a command is given, and what lies beside songs without being one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from spleeter_microservice.audio.containers import AUDIO_ENDINGS, ending_of
from spleeter_microservice.errors import EmptyInputError, NoAudioStreamError, NotAudioError, SpleeterError


def find_songs(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths, but in place of a directory the files directly in it, if it has any."""
    for path in paths:
        files: list[Path] = []
        with suppress(OSError):  # not a readable directory, which reading it as a song will report
            files = sorted(file for file in path.iterdir() if file.is_file())
        yield from files or (path,)


def claims_to_be_song(path: Path) -> bool:
    """Return whether a file has the name of a song.

    macOS keeps what other file systems cannot store about ``Song.mp3`` in ``._Song.mp3``.
    """
    return not path.name.startswith("._") and ending_of(path.name) in AUDIO_ENDINGS


def is_companion(path: Path, error: SpleeterError) -> bool:
    """Return whether a path without sound does not claim to be a song, as covers and ``Thumbs.db`` do not.

    Nor does a directory that holds other directories only, such as the default output.

    Args:
        path: path of a file, or of a directory without files.
        error: why it cannot be separated.
    """
    if path.is_dir():
        return os.access(path, os.R_OK)
    without_sound = isinstance(error, NotAudioError | NoAudioStreamError | EmptyInputError)
    return without_sound and not claims_to_be_song(path)
