"""Preparation of a training's data: finds and hashes the files, cuts the songs and fills the caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from spleeter_microservice.errors import TrainingDataError
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.training.batches import Segments
from spleeter_microservice.training.chunks import Chunk, chunks_of, has_segment
from spleeter_microservice.training.configuration import TrainingConfiguration, segment_seconds
from spleeter_microservice.training.examples import Example, Examples, examples_of_folder
from spleeter_microservice.training.file_hashes import hash_files
from spleeter_microservice.training.spectrogram_cache import SpectrogramCache
from spleeter_microservice.training.stem_lists import read_stem_list

Progress = Callable[[str, int, int], None]
"""Called with what is counted ("hashes" or "spectrograms"), how many are done, and how many there are."""


@dataclass(frozen=True)
class ChunkSet:
    """Chunks of songs, and the reader of their segments."""

    chunks: Sequence[Chunk]
    segments: Segments


@dataclass(frozen=True)
class TrainingData:
    """Prepared songs.

    Attributes:
        training, validation: chunks of the songs; validation may have none.
        hashes: SHA-256 of every audio file.
        notes: remarks for the user, such as songs that are left out.
    """

    training: ChunkSet
    validation: ChunkSet
    hashes: Mapping[Path, str] = field(repr=False)
    notes: Sequence[str]


def find_examples(
    configuration: TrainingConfiguration, folder: Path, validation_folder: Path | None = None
) -> Examples:
    """Find the songs of the configuration's lists, or else of the folders.

    Args:
        configuration: names the stems and the lists.
        folder: folder of the songs, which the paths in lists are relative to.
        validation_folder: folder of songs that are used for validation only.

    Raises:
        TrainingDataError: if a list or a song cannot be used.
        NoSongsError: if a folder has no songs.
        AmbiguousStemError: if a song has two files for one stem.
    """
    names = configuration.architecture.stems

    def listed(name: str) -> list[Example]:
        path, beside = Path(name), configuration.path.parent / name
        if not path.exists() and beside.exists():  # official Spleeter knows only the working directory
            path = beside
        return read_stem_list(path, folder, configuration.mix_name, names)

    if configuration.train_csv:
        examples = Examples(listed(configuration.train_csv), ())
    else:
        examples = examples_of_folder(folder, names)
    if validation_folder:
        found = examples_of_folder(validation_folder, names)
        return Examples(examples.training, [*found.training, *found.validation])
    if configuration.validation_csv:
        return Examples(examples.training, listed(configuration.validation_csv))
    return examples


def prepare(
    configuration: TrainingConfiguration, examples: Examples, known: Path, workers: int, progress: Progress
) -> TrainingData:
    """Hash the files, cut the songs into chunks and fill the caches.

    Args:
        configuration: sets chunks and caches.
        examples: the songs.
        known: JSON file that keeps the hashes from one run to the next.
        workers: number of files to read at once.
        progress: receives the progress.

    Raises:
        TrainingDataError: if no song is as long as one segment.
        AudioError: if a file cannot be read.
        DiskFullError: if a cache cannot be written.
    """
    songs = [*examples.training, *examples.validation]
    paths = sorted({track.path for song in songs for source in song.sources for track in source})
    hashes = hash_files(paths, known, workers, partial(progress, "hashes"))
    notes: list[str] = []

    def chunk_set(songs: Sequence[Example], count: int, seconds: float, cache: str | None) -> ChunkSet:
        chunks = _cut(configuration.architecture, songs, count, seconds, notes)
        spectrograms = SpectrogramCache(Path(cache), hashes, configuration.architecture) if cache else None
        if spectrograms:
            spectrograms.fill(chunks, workers, partial(progress, "spectrograms"))
        return ChunkSet(chunks, Segments(configuration.architecture, spectrograms))

    c = configuration
    training = chunk_set(examples.training, c.n_chunks_per_song, c.chunk_duration, c.training_cache)
    if not training.chunks:
        raise TrainingDataError(
            "All songs are shorter than one segment, "
            f"{segment_seconds(configuration.architecture):.2f} s. Add longer songs, or lower T."
        )
    validation = chunk_set(examples.validation, 1, c.validation_duration(), c.validation_cache)
    return TrainingData(training, validation, hashes, notes)


def _cut(
    architecture: UNetArchitecture, songs: Sequence[Example], count: int, seconds: float, notes: list[str]
) -> list[Chunk]:
    chunks = []
    for song in songs:
        of_song = chunks_of(song, count, seconds, architecture.sample_rate)
        if has_segment(of_song[0], architecture):
            chunks += of_song
        else:
            notes.append(f"{song.name} is left out: it is shorter than one segment")
    return chunks
