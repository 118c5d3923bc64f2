"""Reading of a song's tracks in step with its mixture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from itertools import zip_longest

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.errors import SpleeterError, StemLengthError
from spleeter_microservice.evaluation.song_files import Song, Track

TOLERANCE = 4096
"""Samples by which lengths may differ, because encoders pad their last block."""

_BLOCK = 1 << 16


class TrackReader:
    """A track that is read in blocks of any length.

    Attributes:
        track: the track that is read.
        source_sample_rate: sample rate of the file in Hz.
    """

    def __init__(self, track: Track, sample_rate: int) -> None:
        self.track = track
        self._reader = track.open(sample_rate)
        self.source_sample_rate = self._reader.source_sample_rate
        self._blocks = self._reader.blocks(_BLOCK)
        self._rest: Waveform = np.empty((0, 2), np.float32)
        self._samples = 0

    def take(self, samples: int) -> Waveform:
        """Read the next samples, padded with zeros after the end, shape (2, samples)."""
        out = np.zeros((2, samples), np.float32)
        filled = 0
        while filled < samples and self._refill():
            taken = min(samples - filled, len(self._rest))
            out[:, filled : filled + taken] = self._rest[:taken].T
            self._rest = self._rest[taken:]
            filled += taken
        return out

    def length(self) -> int:
        """Read to the end and return the number of samples of the whole track."""
        while self._refill():
            self._rest = self._rest[:0]
        return self._samples

    def _refill(self) -> bool:
        if not len(self._rest):
            self._rest = next(self._blocks, self._rest)
            self._samples += len(self._rest)
        return len(self._rest) > 0

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class Tracks(AbstractContextManager["Tracks"]):
    """Several tracks that are read in step.

    Args:
        tracks: the tracks, by name.
        sample_rate: sample rate in Hz to convert them to.
    """

    def __init__(self, tracks: Mapping[str, Track], sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._readers: dict[str, TrackReader] = {}
        with ExitStack() as stack:
            for name, track in tracks.items():
                self._readers[name] = stack.enter_context(closing(TrackReader(track, sample_rate)))
            self._stack = stack.pop_all()

    @property
    def resampled(self) -> dict[str, int]:
        """The sample rates in Hz of the files that are resampled, by name of the track."""
        rates = {name: reader.source_sample_rate for name, reader in self._readers.items()}
        return {name: rate for name, rate in rates.items() if rate != self._sample_rate}

    def take(self, samples: int) -> dict[str, Waveform]:
        """Read the next samples of each track, shape (2, samples)."""
        return {name: reader.take(samples) for name, reader in self._readers.items()}

    def check_lengths(self, samples: int) -> None:
        """Raise if a track is not as long as the mixture; call this after its end.

        Raises:
            StemLengthError: if a track is longer or shorter; the message names the first one.
        """
        for reader in self._readers.values():
            if abs(reader.length() - samples) > TOLERANCE:
                raise StemLengthError(
                    f"{reader.track} lasts {reader.length() / self._sample_rate:.3f} s, but the mixture "
                    f"lasts {samples / self._sample_rate:.3f} s. Export them again with the same length."
                )

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def mixture_source(song: Song, sample_rate: int) -> Callable[[], Iterator[Waveform]]:
    """Return a function that opens a song's mixture, which is its own file or the sum of its stems.

    Each call returns blocks of shape (samples, 2) from the beginning.
    """
    tracks = [song.mixture] if song.mixture else [song.stems[name] for name in song.parts]
    return lambda: _sum(tracks, sample_rate)


def expected_samples(song: Song, sample_rate: int) -> int:
    """Estimate the mixture's length from a file's header; return 0 if it cannot be read."""
    track = song.mixture or song.stems[song.parts[0]]
    try:
        with track.open(sample_rate) as reader:
            return reader.expected_frames or 0
    except SpleeterError:  # reported when the song is scored
        return 0


def _sum(tracks: Collection[Track], sample_rate: int) -> Iterator[Waveform]:
    with ExitStack() as stack:
        readers = [stack.enter_context(track.open(sample_rate)) for track in tracks]
        for blocks in zip_longest(*(reader.blocks(_BLOCK) for reader in readers)):
            present = [block for block in blocks if block is not None]
            total = np.zeros((max(map(len, present)), 2), np.float32)
            for block in present:
                total[: len(block)] += block
            yield total
