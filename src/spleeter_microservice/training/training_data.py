"""Finds what a training needs of its data, hashes it, cuts it into chunks and fills the caches."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spleeter_microservice.errors import TrainingDataError
from spleeter_microservice.training.batches import Segments
from spleeter_microservice.training.chunks import Chunk, chunks_of, has_segment
from spleeter_microservice.training.configuration import TrainingConfiguration, segment_seconds
from spleeter_microservice.training.examples import Example, Examples, examples_of_folder
from spleeter_microservice.training.export import write_json
from spleeter_microservice.training.file_hashes import file_hashes
from spleeter_microservice.training.spectrogram_cache import SpectrogramCache
from spleeter_microservice.training.stem_lists import read_stem_list

Progress = Callable[[str, int, int], None]
"""HubDep what is done, how much of it, of how much."""


@dataclass(frozen=True)
class ChunkSet:
    """Chunks, and what reads their segments."""

    chunks: Sequence[Chunk]
    segments: Segments


@dataclass(frozen=True)
class TrainingData:
    """What is ready to be trained on.

    Attributes:
        training, validation: the second may be without chunks.
        hashes: SHA-256 of every audio file.
        notes: what to know of it, in words.
    """

    training: ChunkSet
    validation: ChunkSet
    hashes: Mapping[Path, str] = field(repr=False)
    notes: Sequence[str]


def find_examples(
    configuration: TrainingConfiguration, folder: Path, validation_folder: Path | None = None
) -> Examples:
    """Find the songs: those of the lists that the configuration names, else those of the folders.

    Raises:
        TrainingDataError: when a list or a song cannot be used.
        NoSongsError: when a folder has no songs.
        AmbiguousStemError: when a song has two files for one stem.
    """
    names = configuration.architecture.stems

    def listed(name: str) -> list[Example]:
        path = _found(Path(name), configuration.path)
        return read_stem_list(path, folder, configuration.mix_name, names)

    if configuration.train_csv:
        examples = Examples(listed(configuration.train_csv), ())
    else:
        examples = examples_of_folder(folder, names)
    if validation_folder:
        apart = examples_of_folder(validation_folder, names)
        return Examples(examples.training, [*apart.training, *apart.validation])
    if configuration.validation_csv:
        return Examples(examples.training, listed(configuration.validation_csv))
    return examples


def prepare(
    configuration: TrainingConfiguration, examples: Examples, memory: Path, workers: int, progress: Progress
) -> TrainingData:
    """Hash the files, cut the songs and fill the caches.

    Args:
        configuration: says how.
        examples: the songs.
        memory: a file that keeps the hashes from one call to the next.
        workers: files read at the same time.
        progress: see ``Progress``.

    Raises:
        TrainingDataError: when no song is long enough.
        AudioError: when a file cannot be read.
        DiskFullError: when a cache cannot be written.
    """
    hashes = _hash(examples, memory, workers, progress)
    notes: list[str] = []

    def chunk_set(songs: Sequence[Example], count: int, seconds: float, cache: str | None) -> ChunkSet:
        chunks = _cut(configuration, songs, count, seconds, notes)
        kept = SpectrogramCache(Path(cache), hashes, configuration.architecture) if cache else None
        if kept:
            kept.fill(chunks, workers, lambda done, total: progress("spectrograms", done, total))
        return ChunkSet(chunks, Segments(configuration.architecture, kept))

    training = chunk_set(
        examples.training,
        configuration.n_chunks_per_song,
        configuration.chunk_duration,
        configuration.training_cache,
    )
    if not training.chunks:
        raise TrainingDataError(
            f"No song is as long as one segment, {segment_seconds(configuration.architecture):.2f} s. "
            "Bring longer songs, or lower T."
        )
    validation = chunk_set(
        examples.validation, 1, configuration.validation_duration(), configuration.validation_cache
    )
    return TrainingData(training, validation, hashes, notes)


def _cut(
    configuration: TrainingConfiguration,
    songs: Sequence[Example],
    count: int,
    seconds: float,
    notes: list[str],
) -> list[Chunk]:
    architecture, chunks = configuration.architecture, []
    for song in songs:
        found = chunks_of(song, count, seconds, architecture.sample_rate)
        if has_segment(found[0], architecture):
            chunks += found
        else:
            notes.append(f"{song.name} is left out: it is shorter than one segment")
    return chunks


def _hash(examples: Examples, memory: Path, workers: int, progress: Progress) -> dict[Path, str]:
    songs = [*examples.training, *examples.validation]
    paths = sorted({track.path for song in songs for source in song.sources for track in source})
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):  # without it, all is hashed anew
        known = json.loads(memory.read_text(encoding="utf-8"))
    described: dict[Path, dict[str, Any]] = {}
    for path, description in file_hashes(paths, known, workers):
        described[path] = description
        progress("hashes", len(described), len(paths))
    write_json(memory, {str(path): description for path, description in described.items()})
    return {path: description["sha256"] for path, description in described.items()}


def _found(path: Path, configuration: Path) -> Path:
    """A relative path means the working folder, as to official Spleeter, else the configuration's."""
    beside = configuration.parent / path
    return beside if not path.exists() and beside.exists() else path
