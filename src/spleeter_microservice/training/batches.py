"""Puts segments together to batches, each of which depends on the seed and its number alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.training.augmentation import augment
from spleeter_microservice.training.chunks import Chunk, check_frames, read_chunks
from spleeter_microservice.training.configuration import Augmentation
from spleeter_microservice.training.examples import Source
from spleeter_microservice.training.spectrogram_cache import SpectrogramCache

Batch = NDArray[np.float32]
"""Shape (segments, 1 + instruments, 2, segment_frames, bins): the mix, then the stems."""

# Numbers that keep the random draws of different purposes apart.
_ORDER, _SEGMENT = 0, 1


@dataclass(frozen=True)
class Segments:
    """Gives spectrograms of one segment's length, from the cache or by decoding.

    Attributes:
        architecture: gives the sizes.
        cache: filled, or None.
    """

    architecture: UNetArchitecture
    cache: SpectrogramCache | None = None

    def read(self, chunk: Chunk, choose: Callable[[int], int]) -> NDArray[np.float32]:
        """Read one segment of a chunk.

        Args:
            chunk: at least as long as a segment.
            choose: given the number of places where a segment can begin, gives one of them.

        Returns:
            shape (1 + stems, 2, segment_frames, bins).

        Raises:
            AudioError: when a track cannot be read.
            StemLengthError: when a track ends before the chunk does.
        """
        found = [self._load(source, chunk) for source in chunk.example.sources]
        frames = self.architecture.segment_frames
        start = choose(min(spectrogram.shape[1] for spectrogram in found) - frames + 1)
        return np.stack([s[:, start : start + frames] for s in found]).astype(np.float32, copy=False)

    def _load(self, source: Source, chunk: Chunk) -> NDArray[Any]:
        if self.cache:
            return self.cache.load(source, chunk)
        (spectrogram,) = read_chunks(source, [(chunk.start, chunk.stop)], self.architecture)
        check_frames(spectrogram.shape[1], chunk, source, self.architecture)
        return spectrogram


@dataclass(frozen=True)
class TrainingBatches:
    """Every chunk once in each round, in an order drawn anew; a batch may be of two rounds.

    Attributes:
        segments: reads them.
        chunks: of all songs.
        size: segments in a batch.
        seed: of all that is drawn.
        augmentation: what is changed in each segment.
        pool: reads the segments of a batch at the same time.
    """

    segments: Segments
    chunks: Sequence[Chunk]
    size: int
    seed: int
    augmentation: Augmentation
    pool: Executor

    def from_step(self, step: int, end: int) -> Iterator[Batch]:
        """Give the batches of the steps from one on, without the end."""
        order = lru_cache(maxsize=2)(self._order)
        for number in range(step * self.size, end * self.size, self.size):
            places = range(number, number + self.size)
            chosen = [self.chunks[order(p // len(self.chunks))[p % len(self.chunks)]] for p in places]
            yield np.stack(list(self.pool.map(self._segment, chosen, places)))

    def _order(self, round_: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, _ORDER, round_]).permutation(len(self.chunks))

    def _segment(self, chunk: Chunk, place: int) -> NDArray[np.float32]:
        random = np.random.default_rng([self.seed, _SEGMENT, place])
        segment = self.segments.read(chunk, lambda places: int(random.integers(places)))
        return augment(segment, self.augmentation, random)


def validation_batches(
    segments: Segments, chunks: Sequence[Chunk], size: int, pool: Executor
) -> Iterator[Batch]:
    """Give every chunk's middle segment, unchanged, in the order of the songs."""
    for start in range(0, len(chunks), size):
        part = chunks[start : start + size]
        yield np.stack(
            list(pool.map(lambda chunk: segments.read(chunk, lambda places: (places - 1) // 2), part))
        )
