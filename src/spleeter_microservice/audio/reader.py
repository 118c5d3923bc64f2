"""Reading a song as a stream of blocks."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio import tracks
from spleeter_microservice.audio.decoder import Decoder
from spleeter_microservice.audio.resampling import Resampler, as_stereo
from spleeter_microservice.audio.source import open_audio
from spleeter_microservice.audio.warnings import AudioWarning
from spleeter_microservice.errors import (
    ConfigurationError,
    InvalidSamplesError,
    NoSamplesError,
    NotAudioError,
)

# Accepted sample rates of a file, in Hz.
MIN_SAMPLE_RATE = 1000
MAX_SAMPLE_RATE = 768_000


class AudioReader:
    """One audio file, decoded block by block as stereo at one sample rate.

    Mono is duplicated, stereo is untouched, and more channels are mixed down (``at_most_stereo``).
    If the rate does not change, the samples are the decoder's, with integers divided by their full
    scale. Memory does not grow with the length of the song.

    Args:
        path: the file to read.
        sample_rate: frames per second of the blocks.
        offset: seconds to skip. Offset and duration select exactly what slicing the whole would.
        duration: seconds to read; None reads to the end.
        track: number from 1 or language of the sound track; None selects the main one.
        strict: refuse a damaged or contradictory file instead of adding to ``warnings``.
        keep_delay: begin with silence if the sound begins later than the pictures.

    Attributes:
        sample_rate: frames per second of the blocks.
        source_sample_rate: frames per second of the stream in the file.
        source_channels: number of channels of the stream in the file.
        codec_name: FFmpeg's name of the stream's codec.
        format_name: FFmpeg's name of the container format.
        announced_duration: seconds that the file claims to last, sometimes an estimate, or None.
        expected_frames: estimated total length of the blocks in frames, or None if unknown.
        track: the sound track that is read.
        start_time: seconds by which the sound begins later than the rest of the file.
        warnings: what was found to be odd so far; complete after the last block.

    Raises:
        ConfigurationError: if offset or duration is out of range.
        InputError: if the file cannot be opened; ``open_audio`` lists the subclasses.
    """

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int = 44100,
        offset: float = 0.0,
        duration: float | None = None,
        track: str | None = None,
        strict: bool = False,
        keep_delay: bool = False,
    ) -> None:
        if not 0 <= offset < math.inf:
            raise ConfigurationError(f"The offset must be at least 0 seconds, not {offset}.")
        if duration is not None and not 0 < duration < math.inf:
            raise ConfigurationError(f"The duration must be more than 0 seconds, not {duration}.")
        self.sample_rate = sample_rate
        self._path = path
        self._offset = offset
        self._start = round(offset * sample_rate)
        self._stop = None if duration is None else self._start + max(1, round(duration * sample_rate))
        self._closed = False
        # FFmpeg crashes if a file is closed while another thread decodes it. This can happen: an
        # interrupted executor does not wait for a thread that it was just starting.
        self._in_use = threading.Lock()
        self._input = open_audio(path, track)
        self._decoder = Decoder(path, self._input)
        self.track = tracks.describe(self._input.container, self._input.stream)
        self.start_time = 0.0
        self.warnings: list[AudioWarning] = []
        context = self._input.stream.codec_context
        self.source_sample_rate = int(context.sample_rate)
        self.source_channels = int(context.layout.nb_channels)
        self.codec_name = str(context.codec.name)
        self.format_name = str(self._input.container.format.name)
        self.announced_duration = self._decoder.announced_duration
        self.expected_frames = self._expected_frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until no thread decodes the file, then close it; calling this again has no effect."""
        with self._in_use:
            self._closed = True
            self._input.close()

    def blocks(self, frames: int) -> Iterator[Waveform]:
        """Decode the selected part of the file. A reader can do this only once.

        The block length does not affect the samples. Decoding stops at the end of the selection,
        so damage after it goes unnoticed.

        Args:
            frames: length of a block.

        Yields:
            C-contiguous float32 arrays of shape (frames, 2), full scale being 1. The last one may
            be shorter, none is empty, and the caller may modify them.

        Raises:
            TruncatedInputError: if the file is cut off or damaged.
            NoSamplesError: if the file is empty or ends before the offset.
            InvalidSamplesError: if a sample is not a finite number.
            NotAudioError: if nothing in the file can be decoded.
            UnreadableInputError: if reading the file fails.
            ValueError: if the reader is closed.
        """
        position = self._start
        for block in self._while_open(_in_blocks(self._selection(), frames)):
            self._check_finite(block, position)
            position += len(block)
            yield block
        if position == self._start:
            raise self._no_samples()

    def _while_open(self, blocks: Iterator[Waveform]) -> Iterator[Waveform]:
        while True:
            with self._in_use:
                if self._closed:
                    raise ValueError("The reader is closed.")
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def _expected_frames(self) -> int | None:
        if self.announced_duration is None:
            return None
        total = round(self.announced_duration * self.sample_rate)
        return max(0, (total if self._stop is None else min(total, self._stop)) - self._start)

    def _selection(self) -> Iterator[Waveform]:
        """Yield the frames from start to stop in chunks of any size, then stop decoding."""
        position = 0
        for chunk in self._whole_song():
            begin = max(0, self._start - position)
            end = len(chunk) if self._stop is None else min(len(chunk), self._stop - position)
            position += len(chunk)
            if begin < end:
                yield chunk[begin:end]
            if self._stop is not None and position >= self._stop:
                return

    def _whole_song(self) -> Iterator[Waveform]:
        """Yield all frames as stereo at the reader's rate, then raise if some were missing."""
        for (rate, channels), group in groupby(
            self._decoder.samples(), key=lambda decoded: (decoded[0], decoded[1].shape[1])
        ):
            resampler = self._resampler(rate, channels)
            for _, samples in group:
                yield from map(as_stereo, resampler.push(samples))
            yield from map(as_stereo, resampler.finish())
        self._decoder.check_complete(self._offset)

    def _resampler(self, rate: int, channels: int) -> Resampler:
        # A forged rate could exhaust the memory, or turn a few bytes into hours of sound.
        if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            raise NotAudioError(
                f"{self._path} has a sample rate of {rate} Hz. "
                f"Send audio at {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz."
            )
        return Resampler(rate, self.sample_rate, channels)

    def _check_finite(self, block: Waveform, position: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(block.sum()):  # faster than testing every sample
                return
        wrong = ~np.isfinite(block).all(axis=1)
        if wrong.any():
            seconds = (position + int(wrong.argmax())) / self.sample_rate
            raise InvalidSamplesError(
                f"{self._path} has samples that are not finite numbers, the first at {seconds:.3f} s. "
                "Export it again from the program that made it."
            )

    def _no_samples(self) -> NoSamplesError:
        if not self._decoder.frames:
            return NoSamplesError(f"{self._path} has no samples: its length is zero. Choose another file.")
        return NoSamplesError(
            f"The offset of {self._offset:g} s is beyond the end of {self._path}, "
            f"which lasts {self._decoder.seconds:.2f} s. Choose a smaller offset."
        )


def _in_blocks(chunks: Iterable[Waveform], frames: int) -> Iterator[Waveform]:
    block, filled = np.empty((frames, 2), np.float32), 0
    for chunk in chunks:
        taken = 0
        while taken < len(chunk):
            count = min(frames - filled, len(chunk) - taken)
            block[filled : filled + count] = chunk[taken : taken + count]
            filled, taken = filled + count, taken + count
            if filled == frames:
                yield block
                block, filled = np.empty((frames, 2), np.float32), 0
    if filled:
        yield block[:filled]
