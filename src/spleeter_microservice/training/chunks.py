"""Chunks of songs, and their magnitude spectrograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spleeter_microservice.arrays import Array, Waveform
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import NoSamplesError, StemLengthError
from spleeter_microservice.evaluation.song_files import Track
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.spectrogram import hann
from spleeter_microservice.training.examples import Example, Source

MARGIN = 0.5
"""Seconds at the start and the end of a song that no chunk covers, as in official Spleeter."""

_BLOCK = 1 << 16  # samples
_FRAMES = 64  # transformed at once; few enough to stay in the processor's cache


@dataclass(frozen=True)
class Chunk:
    """A part of a song.

    Attributes:
        example: the song.
        start, stop: position in samples, at the architecture's sample rate.
    """

    example: Example
    start: int
    stop: int


def chunks_of(example: Example, count: int, seconds: float, sample_rate: int) -> list[Chunk]:
    """Return chunks of a song, spread evenly from its start to its end.

    A single chunk comes from the middle. Formula: official Spleeter's ``compute_segments``.

    Args:
        example: the song.
        count: number of chunks.
        seconds: length of a chunk; a shorter song is taken whole.
        sample_rate: rate in Hz that positions are counted at.
    """
    room = example.duration - seconds - 2 * MARGIN
    starts = [k * room / (count - 1) + MARGIN for k in range(count)] if count > 1 else [room / 2 + MARGIN]
    length = round(min(seconds, example.duration) * sample_rate)
    rounded = (round(max(0.0, start) * sample_rate) for start in starts)
    return [Chunk(example, start, start + length) for start in rounded]


def has_segment(chunk: Chunk, architecture: UNetArchitecture) -> bool:
    """Return whether a chunk is at least as long as one segment of the networks."""
    return frames_in(chunk.stop - chunk.start, architecture) >= architecture.segment_frames


def frames_in(samples: int, architecture: UNetArchitecture) -> int:
    """Return the number of whole frames in this many samples."""
    return max(0, (samples - architecture.n_fft) // architecture.hop_length + 1)


def magnitudes(waveform: Waveform, architecture: UNetArchitecture) -> Array:
    """Compute the magnitude spectrogram of a waveform's whole frames, as official Spleeter's training does.

    Args:
        waveform: shape (2, samples).
        architecture: sets the sizes of the transform.

    Returns:
        Magnitudes, shape (2, frames, bins).
    """
    frames = frames_in(waveform.shape[1], architecture)
    out = np.empty((2, frames, architecture.bins), np.float32)
    if frames:
        view = np.lib.stride_tricks.sliding_window_view(waveform, architecture.n_fft, axis=1)
        framed, window = view[:, :: architecture.hop_length], hann(architecture.n_fft)
        for start in range(0, frames, _FRAMES):
            part = slice(start, start + _FRAMES)
            spectrum = np.fft.rfft(framed[:, part] * window)[..., : architecture.bins]
            out[:, part] = np.abs(spectrum)
    return out


def read_chunks(
    source: Source, spans: Sequence[tuple[int, int]], architecture: UNetArchitecture
) -> Iterator[Array]:
    """Yield the spectrograms of several parts of a source, decoding it once.

    Args:
        source: tracks to sum.
        spans: (start, stop) of each part in samples, ordered by start.
        architecture: sets the sample rate and the sizes of the transform.

    Yields:
        Magnitudes, shape (2, frames, bins), with fewer frames if a track ends before the span does.

    Raises:
        AudioError: if a track cannot be read.
    """
    for parts in zip(*(_cut(track, spans, architecture.sample_rate) for track in source), strict=True):
        shortest = min(part.shape[1] for part in parts)
        total: Waveform = np.add.reduce([part[:, :shortest] for part in parts])
        yield magnitudes(total, architecture)


def check_frames(frames: int, chunk: Chunk, source: Source, architecture: UNetArchitecture) -> None:
    """Raise unless a decoded chunk is at least one segment long.

    Raises:
        StemLengthError: if it is shorter; the message names the tracks.
    """
    if frames < architecture.segment_frames:
        raise StemLengthError(
            f"{' + '.join(map(str, source))} ends before {chunk.stop / architecture.sample_rate:.2f} s, but "
            f"{chunk.example.name} is listed with a duration of {chunk.example.duration:.2f} s. Correct the "
            "duration, or export the song's stems again with equal lengths."
        )


def _cut(track: Track, spans: Sequence[tuple[int, int]], rate: int) -> Iterator[Waveform]:
    """Yield parts of a track, shape (2, samples), keeping in memory only what a later part needs."""
    first, last = spans[0][0], max(stop for _, stop in spans)
    with track.open(rate, offset=first / rate, duration=(last - first) / rate) as reader:
        blocks, held, position = _until_end(reader), np.empty((0, 2), np.float32), first
        for (start, stop), following in pairwise([*spans, (last, last)]):
            parts = [held]
            filled = position + len(held)
            while filled < stop and (block := next(blocks, None)) is not None:
                parts.append(block)
                filled += len(block)
            held = np.concatenate(parts)
            yield np.ascontiguousarray(held[start - position : stop - position].T)
            kept = min(following[0], filled)
            held, position = held[kept - position :], kept


def _until_end(reader: AudioReader) -> Iterator[Waveform]:
    """Yield the blocks, possibly none: ``check_frames`` reports a short track, with more details."""
    with suppress(NoSamplesError):
        yield from reader.blocks(_BLOCK)
