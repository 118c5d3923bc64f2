"""Songs to train on: the tracks whose sums are the mix and each stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.errors import SpleeterError, TrainingDataError
from spleeter_microservice.evaluation.song_files import MUSDB_SUFFIX, Song, Track, find_songs
from spleeter_microservice.evaluation.targets import match

Source = tuple[Track, ...]
"""Tracks to sum."""

TRAIN, VALIDATION = "train", "validation"
"""Folders of a data set's songs; musdb18 has only the first."""

# Songs of musdb18's training part that its authors, and Spleeter's configuration, use for validation.
_MUSDB_VALIDATION = {
    "Actions - One Minute Smile",
    "ANiMAL - Rockshow",
    "Alexander Ross - Goodbye Bolero",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Fergessen - Nos Palpitants",
    "James May - On The Line",
    "Johnny Lokke - Promises & Lies",
    "Leaf - Summerghost",
    "Meaxic - Take A Step",
    "Patrick Talbot - A Reason To Leave",
    "Skelpolu - Human Mistakes",
    "Traffic Experiment - Sirens",
    "Triviul - Angelsaint",
    "Young Griffo - Pennies",
}


@dataclass(frozen=True)
class Example:
    """A song.

    Attributes:
        name: name in messages: the song's, or the path and the line of its list.
        mix: input of the networks.
        stems: expected outputs of the networks, in the order of the architecture's stems.
        duration: length in seconds.
    """

    name: str
    mix: Source
    stems: tuple[Source, ...]
    duration: float

    @property
    def sources(self) -> tuple[Source, ...]:
        """The mix, then the stems."""
        return (self.mix, *self.stems)


@dataclass(frozen=True)
class Examples:
    """Songs for training and for validation."""

    training: Sequence[Example]
    validation: Sequence[Example]


def examples_of_folder(folder: Path, names: Sequence[str]) -> Examples:
    """Find the songs of a folder that is laid out as ``find_songs`` describes.

    If the folder has a subfolder ``train``, only that is trained on. Validation uses the songs of the
    subfolder ``validation`` beside it or, without one, musdb18's validation songs. ``test`` is never read.

    Args:
        folder: folder of songs.
        names: names of the stems, in the architecture's order.

    Raises:
        NoSongsError: if the folder has no songs.
        AmbiguousStemError: if a song has two files for one stem.
        TrainingDataError: if a song lacks a stem.
    """
    training = folder / TRAIN if (folder / TRAIN).is_dir() else folder
    songs = find_songs(training)
    if training != folder and (folder / VALIDATION).is_dir():
        validation = find_songs(folder / VALIDATION)
    else:
        validation = [song for song in songs if _short_name(song) in _MUSDB_VALIDATION]
        if len(validation) == len(songs):
            validation = []
        songs = [song for song in songs if song not in validation]
    return Examples([_example(song, names) for song in songs], [_example(song, names) for song in validation])


def duration_of(track: Track) -> float:
    """Return the duration in seconds that a track's header announces.

    Raises:
        TrainingDataError: if the header announces none.
        AudioError: if the file cannot be read.
    """
    with track.open() as reader:
        if reader.announced_duration is None:
            raise TrainingDataError(
                f"{track} does not state its duration. Convert it to WAV or FLAC, or list it in a CSV file "
                "with a column 'duration'."
            )
        return reader.announced_duration


def _short_name(song: Song) -> str:
    return song.name.rpartition("/")[2].removesuffix(MUSDB_SUFFIX)


def _example(song: Song, names: Sequence[str]) -> Example:
    """Make an example of a song, whose stems ``targets.match`` assigns to the names."""
    targets, _ = match(names, song.stems)
    parts = {target.name: target.references for target in targets}
    lacking = [name for name in names if name not in parts]
    if lacking:
        raise TrainingDataError(
            f"{song.name} has no stem for {' and '.join(lacking)}; it has {', '.join(song.stems)}. "
            "Rename its files, change instrument_list, or move the song to another directory."
        )
    stems = tuple(tuple(song.stems[part] for part in parts[name]) for name in names)
    mix = (song.mixture,) if song.mixture else tuple(song.stems[name] for name in song.parts)
    try:
        return Example(song.name, mix, stems, min(duration_of(track) for track in (*mix, *stems[0])))
    except SpleeterError as error:
        raise TrainingDataError(f"The song {song.name} cannot be used: {error}") from error
