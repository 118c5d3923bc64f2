"""Batches of segments; each batch depends only on the seed and on its number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.training.augmentation import augment
from spleeter_microservice.training.chunks import Chunk, check_frames, read_chunks
from spleeter_microservice.training.configuration import Augmentation
from spleeter_microservice.training.examples import Source
from spleeter_microservice.training.spectrogram_cache import SpectrogramCache

Batch = NDArray[np.float32]
"""Shape (segments, 1 + stems, 2, segment_frames, bins): the mix, then the stems."""

# Part of each random seed, so that orders and segments are drawn independently.
_ORDER, _SEGMENT = 0, 1


@dataclass(frozen=True)
class Segments:
    """Spectrograms of single segments, read from a cache or computed from the audio.

    Attributes:
        architecture: sets the sizes of the transform and of a segment.
        cache: spectrograms of every chunk that is read, or None to decode the audio each time.
    """

    architecture: UNetArchitecture
    cache: SpectrogramCache | None = None

    def read(self, chunk: Chunk, choose: Callable[[int], int]) -> Array:
        """Read one segment of a chunk.

        Args:
            chunk: part of a song, at least as long as a segment.
            choose: called with the number of frames at which a segment can start; returns one of them.

        Returns:
            Magnitudes of the mix, then the stems, shape (1 + stems, 2, segment_frames, bins).

        Raises:
            AudioError: if a track cannot be read.
            StemLengthError: if a track ends before the chunk does.
        """
        spectrograms = [self._load(source, chunk) for source in chunk.example.sources]
        frames = self.architecture.segment_frames
        start = choose(min(spectrogram.shape[1] for spectrogram in spectrograms) - frames + 1)
        return np.stack([s[:, start : start + frames] for s in spectrograms]).astype(np.float32, copy=False)

    def _load(self, source: Source, chunk: Chunk) -> NDArray[Any]:
        if self.cache:
            return self.cache.load(source, chunk)
        (spectrogram,) = read_chunks(source, [(chunk.start, chunk.stop)], self.architecture)
        check_frames(spectrogram.shape[1], chunk, source, self.architecture)
        return spectrogram


@dataclass(frozen=True)
class TrainingBatches:
    """Batches of random segments, in which each epoch has every chunk once, in a new order.

    A batch may span two epochs.

    Attributes:
        segments: reader of the segments.
        chunks: chunks of all songs.
        size: number of segments in a batch.
        seed: seed of all random choices.
        augmentation: random changes to each segment.
        pool: threads that read the segments of a batch.
    """

    segments: Segments
    chunks: Sequence[Chunk]
    size: int
    seed: int
    augmentation: Augmentation
    pool: Executor

    def from_step(self, step: int, end: int) -> Iterator[Batch]:
        """Yield the batches of the steps from ``step`` up to, but not including, ``end``."""
        order = lru_cache(maxsize=2)(self._order)
        for first in range(step * self.size, end * self.size, self.size):
            numbers = range(first, first + self.size)
            chosen = [self.chunks[order(n // len(self.chunks))[n % len(self.chunks)]] for n in numbers]
            yield np.stack(list(self.pool.map(self._segment, chosen, numbers)))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.chunks))

    def _segment(self, chunk: Chunk, number: int) -> Array:
        random = np.random.default_rng([self.seed, _SEGMENT, number])
        segment = self.segments.read(chunk, lambda starts: int(random.integers(starts)))
        return augment(segment, self.augmentation, random)


def validation_batches(
    segments: Segments, chunks: Sequence[Chunk], size: int, pool: Executor
) -> Iterator[Batch]:
    """Yield the middle segment of every chunk, unchanged, in the order of the songs."""

    def middle(chunk: Chunk) -> Array:
        return segments.read(chunk, lambda starts: (starts - 1) // 2)

    for start in range(0, len(chunks), size):
        yield np.stack(list(pool.map(middle, chunks[start : start + size])))
