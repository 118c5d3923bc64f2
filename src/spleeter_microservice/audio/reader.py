"""Reading a song as a stream of blocks."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from spleeter_microservice.audio.decoder import Decoder
from spleeter_microservice.audio.resampling import Resampler, Samples, as_stereo
from spleeter_microservice.audio.source import open_audio
from spleeter_microservice.errors import (
    ConfigurationError,
    InvalidSamplesError,
    NoSamplesError,
    NotAudioError,
)

# Sample rates, in Hz, that are believed.
LOWEST_RATE = 1000
HIGHEST_RATE = 768_000


class AudioReader:
    """One audio file, decoded as stereo at one sample rate, block by block.

    Mono is duplicated, stereo is untouched, and more channels are mixed down (``at_most_stereo``).
    Without a change of rate, samples are those of the decoder, integers divided by their full
    scale. ``offset`` and ``duration``, in seconds, choose a part just as slicing the whole would.
    ``stream`` chooses among several audio streams, counted from 0; by default it is the best one.
    Memory does not grow with the length of the song.

    Attributes:
        sample_rate: frames per second of the blocks.
        source_sample_rate, source_channels, codec_name: of the stream in the file.
        format_name: of the file, as FFmpeg calls it.
        announced_duration: seconds that the file says it lasts, sometimes an estimate, or None.
        expected_frames: frames that the blocks should have together, an estimate, or None.

    Raises:
        ConfigurationError: when offset or duration make no sense.
        InputError: of the class that fits, see ``open_audio``.
    """

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int = 44100,
        offset: float = 0.0,
        duration: float | None = None,
        stream: int | None = None,
    ) -> None:
        if not 0 <= offset < math.inf:
            raise ConfigurationError(f"The offset must be 0 or more seconds, not {offset}.")
        if duration is not None and not 0 < duration < math.inf:
            raise ConfigurationError(f"The duration must be more than 0 seconds, not {duration}.")
        self.sample_rate = sample_rate
        self._path = path
        self._offset = offset
        self._start = round(offset * sample_rate)
        self._stop = None if duration is None else self._start + max(1, round(duration * sample_rate))
        self._closed = False
        # FFmpeg crashes when a file is closed while another thread decodes it. That can happen: an
        # interrupted executor does not wait for a thread that it was starting just then.
        self._in_use = threading.Lock()
        self._input = open_audio(path, stream)
        self._decoder = Decoder(path, self._input)
        context = self._input.stream.codec_context
        self.source_sample_rate = int(context.sample_rate)
        self.source_channels = int(context.layout.nb_channels)
        self.codec_name = str(context.codec.name)
        self.format_name = str(self._input.container.format.name)
        self.announced_duration = self._decoder.announced_duration
        self.expected_frames = self._expected_frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, once no thread decodes it; more than once does no harm."""
        with self._in_use:
            self._closed = True
            self._input.close()

    def blocks(self, frames: int) -> Iterator[Samples]:
        """Decode from the first frame to the last, once in the life of a reader.

        Where ``frames`` cuts makes no difference to the samples. Decoding stops when the duration
        is reached, whatever is wrong with the file after that.

        Args:
            frames: length of a block.

        Yields:
            C-contiguous float32 arrays of shape (frames, 2), the last one shorter, none empty.
            They belong to the caller.

        Raises:
            TruncatedInputError: when the file ends or breaks before its end.
            NoSamplesError: when there is nothing, or nothing behind the offset.
            InvalidSamplesError: at the first block with a sample that is not finite.
            NotAudioError: when nothing in it can be decoded.
            UnreadableInputError: when the medium fails.
            ValueError: when the reader was closed.
        """
        position = self._start
        for block in self._while_open(_in_blocks(self._wanted(), frames)):
            self._check_finite(block, position)
            position += len(block)
            yield block
        if position == self._start:
            self._report_nothing()

    def _while_open(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        while True:
            with self._in_use:
                if self._closed:
                    raise ValueError("This reader was closed.")
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def _expected_frames(self) -> int | None:
        if self.announced_duration is None:
            return None
        total = round(self.announced_duration * self.sample_rate)
        return max(0, (total if self._stop is None else min(total, self._stop)) - self._start)

    def _wanted(self) -> Iterator[Samples]:
        """The part between start and stop, in pieces of any size; stops decoding at its end."""
        position = 0
        for piece in self._at_rate():
            begin = max(0, self._start - position)
            end = len(piece) if self._stop is None else min(len(piece), self._stop - position)
            position += len(piece)
            if begin < end:
                yield piece[begin:end]
            if self._stop is not None and position >= self._stop:
                return

    def _at_rate(self) -> Iterator[Samples]:
        """The whole song as stereo at the wanted rate, and then whether it was whole."""
        resampler: Resampler | None = None
        for rate, samples in self._decoder.samples():
            if resampler is None or not resampler.takes(rate, samples.shape[1]):
                yield from map(as_stereo, resampler.finish() if resampler else ())
                resampler = self._resampler(rate, samples.shape[1])
            yield from map(as_stereo, resampler.push(samples))
        yield from map(as_stereo, resampler.finish() if resampler else ())
        self._decoder.check_whole(self._offset)

    def _resampler(self, rate: int, channels: int) -> Resampler:
        # Made-up rates would take all memory, or make hours of sound from a few bytes.
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise NotAudioError(
                f"{self._path} states a sample rate of {rate} Hz. It can be {LOWEST_RATE} to {HIGHEST_RATE}."
            )
        return Resampler(rate, self.sample_rate, channels)

    def _check_finite(self, block: Samples, position: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(block.sum()):  # one number to look at instead of all
                return
        wrong = ~np.isfinite(block).all(axis=1)
        if wrong.any():
            seconds = (position + int(wrong.argmax())) / self.sample_rate
            raise InvalidSamplesError(
                f"{self._path} has samples that are no finite numbers, the first at {seconds:.3f} s. "
                "Export it again from the program that made it."
            )

    def _report_nothing(self) -> None:
        if not self._decoder.frames:
            raise NoSamplesError(f"{self._path} has no samples: its length is zero. Name another file.")
        raise NoSamplesError(
            f"The offset of {self._offset:g} s lies beyond the end of {self._path}, "
            f"which lasts {self._decoder.seconds:.2f} s. Choose a smaller offset."
        )


def _in_blocks(pieces: Iterable[Samples], frames: int) -> Iterator[Samples]:
    block, filled = np.empty((frames, 2), np.float32), 0
    for piece in pieces:
        taken = 0
        while taken < len(piece):
            count = min(frames - filled, len(piece) - taken)
            block[filled : filled + count] = piece[taken : taken + count]
            filled, taken = filled + count, taken + count
            if filled == frames:
                yield block
                block, filled = np.empty((frames, 2), np.float32), 0
    if filled:
        yield block[:filled]
