"""Songs among the files that a command is given, and what lies beside songs without being one."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from spleeter_microservice.audio.containers import AUDIO_ENDINGS, ending_of
from spleeter_microservice.cli.pipes import STANDARD_INPUT
from spleeter_microservice.cli.record import Record
from spleeter_microservice.errors import EmptyInputError, NoAudioStreamError, NotAudioError, SpleeterError
from spleeter_microservice.files import is_temporary, real_path


def find_songs(
    paths: Iterable[Path], output: Path, *, recursive: bool = False
) -> Iterator[tuple[Path, Path]]:
    """Yield each file with its folder relative to the directory that was named.

    In place of a directory, these are the files directly in it or, if ``recursive``, all files below it. A
    directory without files stands for itself, and a pattern for what it matches, unless a file has that name.

    Args:
        paths: paths that the command was given.
        output: directory that stems are written to. It is not searched unless it was named itself.
        recursive: whether to search the directories in directories.
    """
    for path in paths:
        for named in _matches(path):
            if named != STANDARD_INPUT and named.is_dir():
                yield from _files_in(named, real_path(output), recursive) or [(named, Path())]
            else:
                yield named, Path()


def _matches(path: Path) -> list[Path]:
    """Return what a pattern matches; no shell of Windows expands it."""
    if path == STANDARD_INPUT or os.path.lexists(path):
        return [path]
    matches = glob.glob(str(path), recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    return [Path(match) for match in sorted(matches)] or [path]


def _files_in(top: Path, output: Path, recursive: bool) -> list[tuple[Path, Path]]:
    found: list[tuple[Path, Path]] = []

    def add_unreadable(error: OSError) -> None:
        found.append((Path(error.filename), Path()))  # which reading it as a song will report

    for folder, folders, names in os.walk(top, onerror=add_unreadable):
        folders[:] = sorted(
            name
            for name in folders
            if recursive and not name.startswith(".") and real_path(Path(folder, name)) != output
        )
        below = Path(folder)
        stems = Record.made_in(below) if recursive or real_path(below) == output else frozenset()
        found += (
            (below / name, below.relative_to(top))
            for name in sorted(names)
            if (below / name).is_file() and name not in stems and not is_temporary(name)
        )
    return found


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
