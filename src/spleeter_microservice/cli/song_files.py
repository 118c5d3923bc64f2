"""Songs among the files that a command is given, and what lies beside songs without being one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from spleeter_microservice.audio.containers import AUDIO_ENDINGS, ending_of
from spleeter_microservice.errors import EmptyInputError, NoAudioStreamError, NotAudioError, SpleeterError


def find_songs(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths, but in place of a directory the files directly in it, if it has any."""
    for path in paths:
        files: list[Path] = []
        with suppress(OSError):  # it is no directory, or may not be read: reading it as a song says so
            files = sorted(file for file in path.iterdir() if file.is_file())
        yield from files or (path,)


def claims_to_be_song(path: Path) -> bool:
    """Return whether a file has the name of a song.

    macOS keeps what other file systems cannot store about ``Song.mp3`` in ``._Song.mp3``.
    """
    return not path.name.startswith("._") and ending_of(path.name) in AUDIO_ENDINGS


def is_companion(path: Path, error: SpleeterError) -> bool:
    """Return whether a file without sound does not claim to be a song, as covers and ``Thumbs.db`` do not.

    Args:
        path: path of the file.
        error: why it cannot be separated.
    """
    without_sound = isinstance(error, NotAudioError | NoAudioStreamError | EmptyInputError)
    return without_sound and not claims_to_be_song(path)
