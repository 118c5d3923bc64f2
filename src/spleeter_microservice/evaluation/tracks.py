"""Reads the tracks of a song side by side, each as long as the mixture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import zip_longest
from typing import Self

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import SpleeterError, StemLengthError
from spleeter_microservice.evaluation.song_files import Song, Track

TOLERANCE = 4096
"""Samples, one frame of the spectrogram, by which lengths may differ: encoders fill their blocks."""

_BLOCK = 1 << 16


class TrackReader:
    """Reads one track in pieces of any length.

    Attributes:
        track: what is read.
        source_sample_rate: in Hz, of the file; the samples are at the rate asked for.
    """

    def __init__(self, track: Track, sample_rate: int) -> None:
        self.track = track
        self._reader = AudioReader(track.path, sample_rate=sample_rate, stream=track.stream)
        self.source_sample_rate = self._reader.source_sample_rate
        self._blocks = self._reader.blocks(_BLOCK)
        self._rest: Waveform = np.empty((0, 2), np.float32)
        self._samples = 0

    def take(self, samples: int) -> Waveform:
        """Give the next samples, zeros behind the end.

        Returns:
            shape (2, samples).
        """
        out = np.zeros((2, samples), np.float32)
        filled = 0
        while filled < samples and self._refill():
            taken = min(samples - filled, len(self._rest))
            out[:, filled : filled + taken] = self._rest[:taken].T
            self._rest = self._rest[taken:]
            filled += taken
        return out

    def length(self) -> int:
        """Read what remains, and give the number of samples of the whole track."""
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


class Tracks:
    """Several tracks, read in step.

    Args:
        tracks: by name.
        sample_rate: of what is read, in Hz.
    """

    def __init__(self, tracks: Mapping[str, Track], sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._stack = ExitStack()
        self._readers: dict[str, TrackReader] = {}
        with self._stack:
            for name, track in tracks.items():
                self._readers[name] = self._stack.enter_context(closing(TrackReader(track, sample_rate)))
            self._stack = self._stack.pop_all()

    @property
    def resampled(self) -> dict[str, int]:
        """The sample rates of those files that have another one, in Hz."""
        rates = {name: reader.source_sample_rate for name, reader in self._readers.items()}
        return {name: rate for name, rate in rates.items() if rate != self._sample_rate}

    def take(self, samples: int) -> dict[str, Waveform]:
        """Give the next samples of each, of shape (2, samples)."""
        return {name: reader.take(samples) for name, reader in self._readers.items()}

    def check_lengths(self, samples: int) -> None:
        """After the mixture's end, make sure that all tracks have ended or soon will.

        Raises:
            StemLengthError: naming the first that is of another length.
        """
        for reader in self._readers.values():
            if abs(reader.length() - samples) > TOLERANCE:
                raise StemLengthError(
                    f"{reader.track} lasts {reader.length() / self._sample_rate:.3f} s, but the mixture "
                    f"{samples / self._sample_rate:.3f} s. Export all of them again, of one length."
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def mixture_source(song: Song, sample_rate: int) -> Callable[[], Iterator[Waveform]]:
    """Give what opens a song's mixture: its file, or else the sum of its parts.

    Each call gives blocks of shape (samples, 2) from the beginning.
    """
    tracks = [song.mixture] if song.mixture else [song.stems[name] for name in song.parts]
    return lambda: _sum(tracks, sample_rate)


def expected_samples(song: Song, sample_rate: int) -> int:
    """Estimate the mixture's length from a file's header; 0 when that cannot be read."""
    track = song.mixture or song.stems[song.parts[0]]
    try:
        with AudioReader(track.path, sample_rate=sample_rate, stream=track.stream) as reader:
            return reader.expected_frames or 0
    except SpleeterError:  # the song will fail in its turn
        return 0


def _sum(tracks: Collection[Track], sample_rate: int) -> Iterator[Waveform]:
    with ExitStack() as stack:
        readers = [
            stack.enter_context(AudioReader(track.path, sample_rate=sample_rate, stream=track.stream))
            for track in tracks
        ]
        for blocks in zip_longest(*(reader.blocks(_BLOCK) for reader in readers)):
            present = [block for block in blocks if block is not None]
            total = np.zeros((max(map(len, present)), 2), np.float32)
            for block in present:
                total[: len(block)] += block
            yield total
