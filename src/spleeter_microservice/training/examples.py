"""Songs to train on: for the mix and for each instrument, the tracks that it is the sum of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import SpleeterError, TrainingDataError
from spleeter_microservice.evaluation.song_files import MUSDB_SUFFIX, Song, Track, find_songs
from spleeter_microservice.evaluation.targets import match

Source = tuple[Track, ...]
"""Tracks that are added up."""

TRAIN, VALIDATION = "train", "validation"
"""Directories of a data set's songs; musdb has the first one."""

# The songs of musdb's training part that its authors, and Spleeter's configuration, validate with.
_MUSDB_VALIDATION = frozenset(
    (
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
    )
)


@dataclass(frozen=True)
class Example:
    """A song.

    Attributes:
        name: for messages: the song's, or the list's and its line.
        mix: what the networks see.
        stems: what they shall give, one for each instrument, in the architecture's order.
        duration: in seconds.
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
    """What is trained on, and what is only listened to."""

    training: Sequence[Example]
    validation: Sequence[Example]


def examples_of_folder(folder: Path, names: Sequence[str]) -> Examples:
    """Find the songs of a folder that has them as ``find_songs`` describes.

    Where it has a folder ``train``, those in it are trained on, and those in ``validation`` beside
    it, or else the songs that musdb sets apart, are validated with. What is in ``test`` is not
    touched.

    Raises:
        NoSongsError: when there are none.
        AmbiguousStemError: when a song has two files for one stem.
        TrainingDataError: when a song lacks a stem.
    """
    training = folder / TRAIN if (folder / TRAIN).is_dir() else folder
    songs = find_songs(training)
    held_out = {song.name for song in songs if _short_name(song) in _MUSDB_VALIDATION}
    if len(held_out) == len(songs):
        held_out = set()
    apart = [song for song in songs if song.name in held_out]
    if training != folder and (folder / VALIDATION).is_dir():
        apart, held_out = find_songs(folder / VALIDATION), set()
    return Examples(
        [_example(song, names) for song in songs if song.name not in held_out],
        [_example(song, names) for song in apart],
    )


def duration_of(track: Track) -> float:
    """Read how long a track says it is, in seconds.

    Raises:
        TrainingDataError: when it does not say so.
        AudioError: when the file cannot be read.
    """
    with AudioReader(track.path, stream=track.stream) as reader:
        if reader.announced_duration is None:
            raise TrainingDataError(
                f"{track} does not say how long it is. Convert it to WAV or FLAC, or list it in a CSV file "
                "with a column duration."
            )
        return reader.announced_duration


def _short_name(song: Song) -> str:
    return song.name.rpartition("/")[2].removesuffix(MUSDB_SUFFIX)


def _example(song: Song, names: Sequence[str]) -> Example:
    """Take the stems that the names stand for, see ``targets.match``."""
    parts: Mapping[str, tuple[str, ...]] = {
        target.name: target.references for target in match(names, song.stems).targets
    }
    lacking = [name for name in names if name not in parts]
    if lacking:
        raise TrainingDataError(
            f"{song.name} has no stem for {' and '.join(lacking)}; it has {', '.join(song.stems)}. "
            "Rename its files, change instrument_list, or move the song elsewhere."
        )
    stems = tuple(tuple(song.stems[part] for part in parts[name]) for name in names)
    mix = (song.mixture,) if song.mixture else tuple(song.stems[name] for name in song.parts)
    try:
        return Example(song.name, mix, stems, min(duration_of(track) for track in (*mix, *stems[0])))
    except SpleeterError as error:
        raise TrainingDataError(f"The song {song.name} cannot be used: {error}") from error
