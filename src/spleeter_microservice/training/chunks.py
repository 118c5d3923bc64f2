"""Cuts songs into chunks, and gives these as magnitude spectrograms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.reader import AudioReader
from spleeter_microservice.errors import NoSamplesError, StemLengthError
from spleeter_microservice.evaluation.song_files import Track
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.spectrogram import hann
from spleeter_microservice.training.examples import Example, Source

Magnitudes = NDArray[np.float32]

MARGIN = 0.5
"""Seconds at the beginning and the end of a song that chunks leave out, as in official Spleeter."""

_BLOCK = 1 << 16
_FRAMES = 64  # transformed at once, few enough to stay in cache


@dataclass(frozen=True)
class Chunk:
    """A part of a song.

    Attributes:
        example: the song.
        start, stop: in samples at the architecture's rate.
    """

    example: Example
    start: int
    stop: int


def chunks_of(example: Example, count: int, seconds: float, sample_rate: int) -> list[Chunk]:
    """Cut a song into so many chunks, spread evenly from its beginning to its end.

    One chunk is taken from the middle. Formula: official Spleeter's ``compute_segments``.
    """
    room = example.duration - seconds - 2 * MARGIN
    starts = [k * room / (count - 1) + MARGIN for k in range(count)] if count > 1 else [room / 2 + MARGIN]
    length = round(min(seconds, example.duration) * sample_rate)
    whole = (round(max(0.0, start) * sample_rate) for start in starts)
    return [Chunk(example, start, start + length) for start in whole]


def has_segment(chunk: Chunk, architecture: UNetArchitecture) -> bool:
    """Tell whether a chunk is as long as one segment that the networks see."""
    return frames_in(chunk.stop - chunk.start, architecture) >= architecture.segment_frames


def frames_in(samples: int, architecture: UNetArchitecture) -> int:
    """Number of whole frames."""
    return max(0, (samples - architecture.n_fft) // architecture.hop_length + 1)


def magnitudes(waveform: Waveform, architecture: UNetArchitecture) -> Magnitudes:
    """Transform a waveform; only whole frames are taken, as official Spleeter's training does.

    Args:
        waveform: shape (2, samples).
        architecture: gives the transform's sizes.

    Returns:
        shape (2, frames, bins).
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
) -> Iterator[Magnitudes]:
    """Give the spectrograms of several parts of a source, decoding it once.

    Args:
        source: its tracks are added up.
        spans: (start, stop) in samples, in order of their starts.
        architecture: gives the sample rate and the transform's sizes.

    Yields:
        shape (2, frames, bins); the frames are fewer where the tracks end before the span does.

    Raises:
        AudioError: when a track cannot be read.
    """
    for parts in zip(*(_cut(track, spans, architecture.sample_rate) for track in source), strict=True):
        shortest = min(part.shape[1] for part in parts)
        total: Waveform = np.add.reduce([part[:, :shortest] for part in parts])
        yield magnitudes(total, architecture)


def check_frames(found: int, chunk: Chunk, source: Source, architecture: UNetArchitecture) -> None:
    """Make sure that a chunk, once decoded, is long enough.

    Raises:
        StemLengthError: naming the tracks.
    """
    if found < architecture.segment_frames:
        raise StemLengthError(
            f"{' + '.join(map(str, source))} ends before {chunk.stop / architecture.sample_rate:.2f} s, but "
            f"{chunk.example.name} is said to last {chunk.example.duration:.2f} s. Correct its duration, or "
            "export the stems again, of one length."
        )


def _cut(track: Track, spans: Sequence[tuple[int, int]], rate: int) -> Iterator[Waveform]:
    """Give parts of a track, of shape (2, samples), holding no more than is still needed."""
    first, last = spans[0][0], max(stop for _, stop in spans)
    options = {"offset": first / rate, "duration": (last - first) / rate}
    with AudioReader(track.path, sample_rate=rate, stream=track.stream, **options) as reader:
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
    """Give what is there: whether it is long enough, ``check_frames`` tells with more to say."""
    with suppress(NoSamplesError):
        yield from reader.blocks(_BLOCK)
