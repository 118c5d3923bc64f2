"""Discovery of songs with stems in a directory: one file per stem, or musdb's files of five tracks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.audio.containers import AUDIO_ENDINGS, ending_of
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import AmbiguousStemError, NoSongsError

MIXTURE = "mixture"
VOCALS = "vocals"
ACCOMPANIMENT = "accompaniment"

MUSDB_SUFFIX = ".stem.mp4"
MUSDB_TRACKS = (MIXTURE, "drums", "bass", "other", VOCALS)
"""The audio streams of a musdb file, in order."""


@dataclass(frozen=True)
class Track:
    """An audio file, or one of its audio streams, counted from 0."""

    path: Path
    stream: int | None = None

    def open(
        self, sample_rate: int = 44100, offset: float = 0.0, duration: float | None = None
    ) -> AudioReader:
        """Open the track with the arguments of ``AudioReader``.

        Raises:
            AudioError: if it cannot be read; reading it raises one for whatever is odd about it.
        """
        number = None if self.stream is None else str(self.stream + 1)
        return AudioReader(
            self.path, sample_rate=sample_rate, offset=offset, duration=duration, track=number, strict=True
        )

    def __str__(self) -> str:
        return str(self.path) if self.stream is None else f"{self.path} (track {self.stream + 1})"


@dataclass(frozen=True)
class Song:
    """A song with its reference stems.

    Attributes:
        name: path of the song, relative to the directory that was searched.
        stems: tracks of the stems, by name in lower case.
        mixture: track of the mixture; None if it is the sum of the stems.
    """

    name: str
    stems: Mapping[str, Track]
    mixture: Track | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """The stems that sum to the mixture; an accompaniment replaces the stems that it consists of."""
        if ACCOMPANIMENT in self.stems:
            return tuple(name for name in (VOCALS, ACCOMPANIMENT) if name in self.stems)
        return tuple(self.stems)


def find_songs(folder: Path) -> list[Song]:
    """Find all songs in a directory and its subdirectories, sorted by name.

    Raises:
        NoSongsError: if there are none.
        AmbiguousStemError: if a stem of a song has two files.
    """
    if not folder.is_dir():
        raise NoSongsError(f"{folder} is not a directory. Pass a directory of songs.")
    songs = [song for place, files in _folders(folder) for song in _songs(folder, place, files)]
    if not songs:
        raise NoSongsError(
            f"{folder} has no songs with stems. Pass a directory in which each song is a directory with "
            f"one audio file per stem (vocals.wav, accompaniment.wav, …) or a musdb file (*{MUSDB_SUFFIX})."
        )
    return sorted(songs, key=lambda song: song.name)


def audio_files(paths: Sequence[Path], where: Path) -> dict[str, Track]:
    """Return the audio files among the paths, by their lower-case names without suffixes.

    Raises:
        AmbiguousStemError: if two have the same name.
    """
    tracks: dict[str, Track] = {}
    for path in sorted(paths):
        if ending_of(path.name) not in AUDIO_ENDINGS or path.name.startswith("."):
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
