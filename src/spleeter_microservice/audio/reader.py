"""Reading a song as a stream of blocks."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from itertools import groupby
from pathlib import Path

import numpy as np

from spleeter_microservice import errors
from spleeter_microservice.arrays import LARGEST_SAMPLE, Array, Waveform
from spleeter_microservice.audio import tracks
from spleeter_microservice.audio.decoder import MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, Check, Decoder
from spleeter_microservice.audio.parts import Structure
from spleeter_microservice.audio.resampling import Resampler, as_stereo
from spleeter_microservice.audio.source import AudioFile, OpenPart
from spleeter_microservice.audio.warnings import MOST_WARNINGS, AudioWarning

SHORTEST_CUT = 1.0
"""Seconds that a file must at least last if it is cut off."""

_MOST_PARTS = 256  # opened ahead to learn how long they are
_SILENT_BLOCK = 1 << 16  # frames


class AudioReader(AbstractContextManager["AudioReader"]):
    """One audio file, decoded block by block as stereo at one sample rate.

    Mono is duplicated, stereo is untouched, and more channels are mixed down (``at_most_stereo``).
    If the rate does not change, the samples are the decoder's, with integers divided by their full
    scale. Memory does not grow with the length of the song.

    Args:
        path: the file to read.
        sample_rate: frames per second of the blocks; None for those of the file.
        offset: seconds to skip. Offset and duration select exactly what slicing the whole would.
        duration: seconds to read; None reads to the end.
        track: number from 1 or language of the sound track; None selects the main one.
        strict: refuse a damaged or contradictory file instead of adding to ``warnings``.
        keep_delay: begin with silence if the sound begins later than the pictures.
        tagged: whether to read the tags.
        check: called often while the file is read, which ends with the error that it raises.

    Attributes:
        sample_rate: frames per second of the blocks.
        source_sample_rate: frames per second of the stream in the file.
        source_channels: number of channels of the stream in the file.
        codec_name: FFmpeg's name of the stream's codec.
        format_name: FFmpeg's name of the container format.
        announced_duration: seconds that the file claims to last, sometimes an estimate, or None.
        expected_frames: estimated total length of the blocks in frames, or None if unknown.
        frames: number of frames in the blocks so far.
        film: name of the container for the pictures, ``mp4`` or ``mkv``, or None if there are none.
        track: the sound track that is read.
        start_time: seconds by which the sound begins later than the rest of the file.
        late: seconds by which the first block belongs later than the beginning of the file.
        tags: the tags that stems may have, or None.
        warnings: what was found to be odd so far; complete after the last block.

    Raises:
        ConfigurationError: if offset or duration is out of range.
        InputError: if the file cannot be opened; ``AudioFile`` lists the subclasses.
    """

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int | None = 44100,
        offset: float = 0.0,
        duration: float | None = None,
        track: str | None = None,
        strict: bool = False,
        keep_delay: bool = False,
        tagged: bool = False,
        check: Check = lambda: None,
    ) -> None:
        if not 0 <= offset < math.inf:
            raise errors.ConfigurationError(f"The offset must be at least 0 seconds, not {offset}.")
        if duration is not None and not 0 < duration < math.inf:
            raise errors.ConfigurationError(f"The duration must be more than 0 seconds, not {duration}.")
        self._path = path
        self._offset = offset
        self._closed = False
        # FFmpeg crashes if a file is closed while another thread decodes it. This can happen: an
        # interrupted executor does not wait for a thread that it was just starting.
        self._in_use = threading.Lock()
        self.warnings: list[AudioWarning] = []
        self._strict = strict
        self._check = check
        self._unlisted: list[AudioWarning] = []
        self._done = 0.0  # seconds of the parts before the current one
        self._opened = False
        self._valid = self._invalid = 0  # samples so far
        self.frames = 0
        self._file = AudioFile(path, track)
        try:
            self.tags = self._file.tags() if tagged else None  # before the file is opened for its sound
            self._parts = list(self._file.structure.parts)
            for warning in self._file.structure.warnings:
                self._warn(warning.code, warning.message, warning.position)
            self._open_next()
            self.announced_duration = self._find_duration()
        except BaseException:
            self._file.close()
            raise
        context = self._part.stream.codec_context
        self.source_sample_rate = int(context.sample_rate)
        self.sample_rate = rate = sample_rate or self.source_sample_rate
        self._start = round(offset * rate)
        self._stop = None if duration is None else self._start + max(1, round(duration * rate))
        self.source_channels = int(self._part.layout.nb_channels)
        self.codec_name = str(context.codec.name)
        self.format_name = str(self._part.container.format.name)
        self.film = tracks.film_container(self._part.container)
        self.track = tracks.describe(self._part.container, self._part.stream)
        self.start_time = tracks.start_time(self._part.container, self._part.stream)
        self._delay = self.start_time if keep_delay else 0.0
        self.late = self.start_time - self._delay
        self.expected_frames = self._expected_frames()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until no thread decodes the file, then close it; calling this again has no effect."""
        with self._in_use:
            self._closed = True
            self._part.container.close()
            self._file.close()

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
            TruncatedInputError: if the file is cut off within its first second or, if the reader is strict,
                damaged or contradictory.
            NoSamplesError: if the file is empty or ends before the offset.
            InvalidSamplesError: if most samples, or one if the reader is strict, are not finite or too large.
            NotAudioError: if nothing in the file can be decoded.
            UnreadableInputError: if reading the file fails.
            ValueError: if the reader is closed.
        """
        for block in self._while_open(_in_blocks(self._selection(), frames)):
            self._clear_invalid(block, self._start + self.frames)
            self.frames += len(block)
            yield block
        if not self.frames:
            raise self._no_samples()
        if self._invalid > self._valid:
            text = f"Most samples of {self._path} are not finite numbers within ±1e13."
            raise errors.InvalidSamplesError(f"{text} Export it again.")

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
        total = round((self.announced_duration + self._delay) * self.sample_rate)
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
        """Yield all frames as stereo at the reader's rate, then raise if there is too little."""
        for start in range(0, round(self._delay * self.sample_rate), _SILENT_BLOCK):
            rest = round(self._delay * self.sample_rate) - start
            yield np.zeros((min(_SILENT_BLOCK, rest), 2), np.float32)
        for (rate, channels), group in groupby(
            self._decoded(), key=lambda decoded: (decoded[0], decoded[1].shape[1])
        ):
            resampler = Resampler(rate, self.sample_rate, channels)
            for _, samples in group:
                yield from map(as_stereo, resampler.push(samples))
            yield from map(as_stereo, resampler.finish())
        self._check_enough()

    def _decoded(self) -> Iterator[tuple[int, Array]]:
        """Yield the samples of all parts, with their sample rates."""
        opened = True
        while opened:
            yield from self._decoder.samples()
            self._done += self._decoder.seconds
            self._part.container.close()
            opened = self._open_next()

    def _open_next(self) -> bool:
        """Open the next part that can be opened; return whether there is one.

        Raises:
            InputError: if it is the only part and cannot be opened.
        """
        while self._parts:
            part = self._parts.pop(0)
            try:
                self._part = self._file.open(part)
            except (errors.NotAudioError, errors.NoAudioStreamError, errors.TruncatedInputError):
                if not (self._parts or self._opened):
                    raise
                self._warn("damaged", "A part of the file cannot be read; it is left out.", self._done)
            else:
                self._decoder = self._decoder_of(self._part)
                self._opened = True
                return True
        return False

    def _decoder_of(self, part: OpenPart) -> Decoder:
        structure = self._file.structure
        if part.part is not structure.parts[-1]:
            structure = Structure(is_whole=True)
        return Decoder(self._path, part, structure, self._warn_of_part, self._check)

    def _find_duration(self) -> float | None:
        """Return the seconds that all parts announce together, or None if one does not know."""
        if len(self._parts) > _MOST_PARTS:
            return None
        durations = [self._decoder.announced_duration]
        for part in self._parts:
            with suppress(errors.NotAudioError, errors.NoAudioStreamError, errors.TruncatedInputError):
                opened = self._file.open(part)
                durations.append(self._decoder_of(opened).announced_duration)
                opened.container.close()
        known = [duration for duration in durations if duration is not None]
        return sum(known) if len(known) == len(durations) else None

    def _warn_of_part(self, code: str, message: str, position: float) -> None:
        self._warn(code, message, self._done + position)

    def _warn(self, code: str, message: str, position: float) -> None:
        if self._strict:
            error = errors.InvalidSamplesError if code == "invalid-samples" else errors.TruncatedInputError
            raise error(
                f"{self._path} is damaged or contradicts itself at {position:.3f} s. {message} "
                "Copy or export it again, or do not refuse damaged files."
            )
        listed = self.warnings if len(self.warnings) < MOST_WARNINGS else self._unlisted
        listed.append(AudioWarning(code, message, position))

    def _check_enough(self) -> None:
        """Raise if nothing, or next to nothing, could be decoded; called after the last sample."""
        if self._file.structure.unread:
            text = f"{self._file.structure.unread} bytes that are not part of this file follow its sound."
            self._warn("unread-data", f"{text} They are left out.", self._done)
        if self._unlisted:
            text = f"{len(self._unlisted)} more such places follow."
            self.warnings.append(AudioWarning("more-warnings", text, self._unlisted[0].position))
        if not self._done:
            self._check_decodable()
        if self._decoder.is_cut and self._done < SHORTEST_CUT:
            raise errors.TruncatedInputError(
                f"{self._path} is cut off: only {self._done:.2f} s can be read. Copy or download it again."
            )

    def _check_decodable(self) -> None:
        """Raise if the file has sound, but none of it can be decoded."""
        rate = self.source_sample_rate
        if not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
            raise errors.NotAudioError(
                f"{self._path} has a sample rate of {rate} Hz. "
                f"Send audio at {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz."
            )
        if self._decoder.bad_packets and not self._file.structure.is_known_audio:
            raise errors.NotAudioError(
                f"{self._path} looks like {self.format_name}, but nothing in it can be decoded."
            )

    def _clear_invalid(self, block: Waveform, position: int) -> None:
        """Replace samples that are not finite numbers, or too large for calculations, by silence."""
        self._valid += block.size
        with np.errstate(over="ignore", invalid="ignore"):
            if np.vdot(block, block) <= LARGEST_SAMPLE**2:  # faster than testing every sample
                return
            wrong = ~(np.abs(block) <= LARGEST_SAMPLE)
        count = int(np.count_nonzero(wrong))
        if count and not self._invalid:
            first = (position + int(wrong.any(axis=1).argmax())) / self.sample_rate - self._delay
            message = "Samples are not finite numbers within ±1e13; silence replaces them."
            self._warn("invalid-samples", message, first)
        self._valid -= count
        self._invalid += count
        block[wrong] = 0

    def _no_samples(self) -> errors.NoSamplesError:
        if not self._done:
            return errors.NoSamplesError(
                f"{self._path} has no samples: its length is zero. Choose another file."
            )
        return errors.NoSamplesError(
            f"The offset of {self._offset:.9g} s leaves no sample of {self._path}, "
            f"which lasts {self._done + self._delay:.9g} s. Choose a smaller offset."
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
