"""The plan of a batch: which songs there are, and where their stems will be written."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spleeter_microservice.cli.pipes import STANDARD_INPUT
from spleeter_microservice.cli.song_files import claims_to_be_song
from spleeter_microservice.errors import ConflictingPathsError, SpleeterError
from spleeter_microservice.files import real_path
from spleeter_microservice.separation.stem_paths import stem_paths

if TYPE_CHECKING:
    from spleeter_microservice.separation.options import SeparationOptions


@dataclass(frozen=True)
class Song:
    """A song to separate.

    Attributes:
        source: its path as the caller knows it.
        file: the file to read, which for standard input is another.
        paths: paths of its stems and mixes, by name; none for what is not a song and has the name of one.
    """

    source: Path
    file: Path
    paths: Mapping[str, Path]


def plan_songs(
    found: Sequence[tuple[Path, Path]],
    names: Collection[str],
    arguments: argparse.Namespace,
    options: SeparationOptions,
) -> list[Song]:
    """Return the songs with the paths of their stems and mixes, so that conflicts are found before any work.

    Args:
        found: files with their folders below the output, as of ``find_songs``.
        names: names of the stems and mixes.
        arguments: the parsed arguments.
        options: what the caller chose.

    Raises:
        ConfigurationError: if the template cannot be filled in.
        ConflictingPathsError: if two stems get the same path, or one gets an input's.
    """
    files = [(Path("stdin") if source == STANDARD_INPUT else source) for source, _ in found]
    owners = {real_path(file): source for file, (source, _) in zip(files, found, strict=True)}
    songs: dict[int, Song] = {}
    # What does not claim to be a song comes last: a cover or a cue sheet may have the name of a song.
    claims = [source == STANDARD_INPUT or claims_to_be_song(source) for source, _ in found]
    for position in sorted(range(len(found)), key=lambda position: not claims[position]):
        source, below = found[position]
        output = arguments.output / below
        paths = stem_paths(
            files[position], names, output, arguments.filename_format, options.codec, options.video
        )
        song = Song(source, files[position], paths)
        conflict = next((path for path in paths.values() if real_path(path) in owners), None)
        if conflict and (claims[position] or _opens(song, options)):
            raise ConflictingPathsError(
                f"Separated source path conflict: a stem of {source} would be written to {conflict}, which "
                f"belongs to {owners[real_path(conflict)]}. Put {{foldername}} into the file name format "
                "(-f), or choose another directory (-o)."
            )
        songs[position] = replace(song, paths={}) if conflict else song
        owners |= {real_path(path): source for path in songs[position].paths.values()}
    return [songs[position] for position in range(len(found))]


def _opens(song: Song, options: SeparationOptions) -> bool:
    try:
        open_song(song, options)
    except SpleeterError:
        return False
    return True


def open_song(song: Song, options: SeparationOptions) -> None:
    """Raise the error that opening a song causes, if any.

    Raises:
        AudioError: as ``AudioReader``.
    """
    from spleeter_microservice.audio.reader import AudioReader

    AudioReader(song.file, offset=options.offset, duration=options.duration, **options.reading).close()
