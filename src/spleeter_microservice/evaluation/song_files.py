"""Finds songs with their stems in a folder: one file per stem, or musdb's files of five tracks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.errors import AmbiguousStemError, NoSongsError

MIXTURE = "mixture"
VOCALS = "vocals"
ACCOMPANIMENT = "accompaniment"

MUSDB_SUFFIX = ".stem.mp4"
MUSDB_TRACKS = (MIXTURE, "drums", "bass", "other", VOCALS)
"""The audio streams of a musdb file, in their order."""

AUDIO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "au", "caf", "eac3", "flac", "flv", "m4a"),
        *("m4b", "mka", "mkv", "mov", "mp3", "mp4", "mpc", "oga", "ogg", "opus", "tak", "tta", "voc"),
        *("w64", "wav", "webm", "wma", "wv"),
    )
)


@dataclass(frozen=True)
class Track:
    """An audio file, or one stream of it, counted from 0."""

    path: Path
    stream: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.stream is None else f"{self.path} (track {self.stream + 1})"


@dataclass(frozen=True)
class Song:
    """A song whose stems are known.

    Attributes:
        name: its path below the folder that was searched.
        stems: by their names, in lower case.
        mixture: None when it is the sum of the stems.
    """

    name: str
    stems: Mapping[str, Track]
    mixture: Track | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The stems that sum to the mixture: an accompaniment beside its own stems counts alone."""
        if ACCOMPANIMENT in self.stems:
            return tuple(name for name in (VOCALS, ACCOMPANIMENT) if name in self.stems)
        return tuple(self.stems)


def find_songs(folder: Path) -> list[Song]:
    """Find every song in a folder and the folders below it, in the order of their names.

    Raises:
        NoSongsError: when there is none.
        AmbiguousStemError: when two files of a song have one name.
    """
    if not folder.is_dir():
        raise NoSongsError(f"{folder} is no folder. Name a folder of songs.")
    songs = [song for place, files in _folders(folder) for song in _songs(folder, place, files)]
    if not songs:
        raise NoSongsError(
            f"{folder} has no songs with stems: a song is a folder with one audio file per stem "
            f"(vocals.wav, accompaniment.wav, …), or a file of musdb's (*{MUSDB_SUFFIX})."
        )
    return sorted(songs, key=lambda song: song.name)


def audio_files(paths: Sequence[Path], where: Path) -> dict[str, Track]:
    """Name audio files by what stands before their suffixes; others are left out.

    Raises:
        AmbiguousStemError: when two have one name.
    """
    tracks: dict[str, Track] = {}
    for path in sorted(paths):
        if path.suffix.lower() not in AUDIO_SUFFIXES or path.name.startswith("."):
            continue
        name = path.stem.lower()
        if name in tracks:
            raise AmbiguousStemError(
                f"{where} has two files for {name}: {tracks[name].path.name} and {path.name}. Remove one."
            )
        tracks[name] = Track(path)
    return tracks


def _folders(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield Path(place), [Path(place, name) for name in files]


def _songs(root: Path, place: Path, files: Sequence[Path]) -> Iterator[Song]:
    bundles = [path for path in files if path.name.endswith(MUSDB_SUFFIX) and not path.name.startswith(".")]
    for path in bundles:
        tracks = {name: Track(path, i) for i, name in enumerate(MUSDB_TRACKS)}
        mixture = tracks.pop(MIXTURE)
        name = path.relative_to(root).as_posix().removesuffix(MUSDB_SUFFIX)
        yield Song(name, tracks, mixture)
    stems = audio_files([path for path in files if path not in bundles], place)
    mix = stems.pop(MIXTURE, None)
    if stems:
        name = root.resolve().name if place == root else place.relative_to(root).as_posix()
        yield Song(name, stems, mix)
