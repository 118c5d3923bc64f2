"""Decoding of packets to samples, and detection of files that are cut off or damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from spleeter_microservice.arrays import Array
from spleeter_microservice.audio.resampling import at_most_stereo, decoded_samples
from spleeter_microservice.audio.source import AudioInput, unreadable
from spleeter_microservice.errors import NotAudioError, TruncatedInputError

# Packets that may fail before the first and after the last good one: they are junk or tags.
BAD_PACKETS_AT_ENDS = 3
# Frames that a codec may decode past the end stated by the container, to fill its last block.
CODEC_PADDING = 8192

# Seconds by which a song may fall short of its stated duration: Xing headers count inexactly,
# positions in Ogg are those of pages, and other containers state the duration of the whole file.
_MP3_TOLERANCE = 3 * 1152 / 44100
_OGG_TOLERANCE = 0.1
_FILE_TOLERANCE = 1.0

# Jump between timestamps, in seconds, that shows that data was skipped.
_GAP = 0.05

# Containers that state the duration of the sound, provided that they hold nothing else.
_STATES_DURATION = frozenset(("matroska,webm", "asf"))
# Containers that state where in the last block the song ends; decoders do not always cut it there.
_STATES_END = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "ogg"))
# Streams without a container. Like a player, skip whatever is not a frame.
_RAW_STREAMS = frozenset(("mp3", "aac", "ac3", "eac3", "dts", "truehd", "flac"))


class Decoder:
    """A single pass over the audio stream of an open file.

    Attributes:
        announced_duration: seconds that the file claims to last, sometimes an estimate, or None.
        frames: number of frames decoded so far, at the sample rate of the file.
        seconds: seconds decoded so far.
    """

    def __init__(self, path: Path, source: AudioInput) -> None:
        self._path = path
        self._source = source
        self._format = source.container.format.name
        self._context = source.stream.codec_context
        # Checksums are reliable in FLAC and Ogg; in MP3 many are wrong although the sound is fine.
        if self._format in ("flac", "ogg"):
            self._context.options = {"err_detect": "crccheck"}
        self._bad_packets = 0
        self._broken = False
        self._gap: float | None = None  # seconds at which data was first skipped
        self._first: float | None = None  # timestamp of the first frame in seconds
        self.frames = 0
        self.seconds = 0.0
        self.announced_duration = self._find_duration()

    def samples(self) -> Iterator[tuple[int, Array]]:
        """Decode to the end of the file, or to the point where it is damaged.

        Yields:
            Pairs of sample rate in Hz and float32 array of shape (frames, 1 or 2). The rate and the
            number of channels may change within a file.

        Raises:
            UnreadableInputError: if reading the file fails.
        """
        end = self._stated_end()
        excess: list[tuple[int, Array]] = []  # decoded past the stated end
        for frame in self._decode():
            rate, samples = frame.sample_rate, at_most_stereo(decoded_samples(frame), frame.layout)
            keep = len(samples) if end is None else max(0, min(len(samples), end - self.frames))
            self._count(keep, rate)
            if keep:
                yield rate, samples[:keep]
            if keep < len(samples):
                excess.append((rate, samples[keep:]))
            if sum(len(more) for _, more in excess) > CODEC_PADDING:
                # Too much for padding: the stated end is wrong, as in two concatenated files.
                for rate, samples in excess:
                    self._count(len(samples), rate)
                    yield rate, samples
                excess, end = [], None
        if self._source.file.error:
            raise unreadable(self._path, self._source.file.error)

    def check_complete(self, offset: float) -> None:
        """Raise if part of the song is missing; call this after the last sample.

        Args:
            offset: seconds at which the selection begins, for the advice in the error message.

        Raises:
            NotAudioError: if the file has data, but none of it can be decoded.
            TruncatedInputError: if the file is damaged, or ends before its stated end.
        """
        cut_off = self._source.structure.cut_off
        if not self.frames and self._bad_packets and not self._source.structure.is_known_audio:
            raise NotAudioError(f"{self._path} looks like {self._format}, but nothing in it can be decoded.")
        if cut_off or self._is_short() or (self._is_broken() and not self._reached_end()):
            raise self._truncated(offset)

    def _truncated(self, offset: float) -> TruncatedInputError:
        read = self.seconds if self._gap is None else self._gap
        announced = self.announced_duration
        of = f" of {announced:.2f}" if announced and announced > read else ""
        advice = "Copy or download it again"
        readable = int((read - offset) * 100) / 100
        if readable > 0:
            advice += f", or separate its readable part with -d {readable:.2f}"
        return TruncatedInputError(
            f"{self._path} is cut off or damaged: only {read:.2f}{of} s can be read. {advice}."
        )

    def _find_duration(self) -> float | None:
        stream, container = self._source.stream, self._source.container
        if self._source.structure.stated_seconds:
            return self._source.structure.stated_seconds
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base) - self._opus_preskip()
        return container.duration / av.time_base if container.duration else None

    def _opus_preskip(self) -> float:
        """Return the seconds that timestamps in an Opus file include, but that are not played."""
        header = self._context.extradata or b""
        if self._format != "ogg" or header[:8] != b"OpusHead":
            return 0.0
        return int.from_bytes(header[10:12], "little") / 48_000

    def _stated_end(self) -> int | None:
        if self.announced_duration is None or self._format not in _STATES_END:
            return None
        return round(self.announced_duration * self._context.sample_rate)

    def _reached_end(self) -> bool:
        return self.announced_duration is not None and self.seconds > self.announced_duration - _GAP

    def _is_broken(self) -> bool:
        return self._broken or (self._bad_packets > BAD_PACKETS_AT_ENDS and self._format not in _RAW_STREAMS)

    def _is_short(self) -> bool:
        """Return whether fewer seconds were decoded than the file reliably states."""
        tolerance = self._tolerance()
        if tolerance is None or not self.announced_duration:
            return False
        # A recording's timestamps may begin at any time; its duration is then that of its end.
        missing = self.announced_duration - max(0.0, self._first or 0.0) - self.seconds
        return round(missing * self._context.sample_rate) > round(tolerance * self._context.sample_rate)

    def _tolerance(self) -> float | None:
        """Return the seconds that may be missing, or None if the duration is only an estimate."""
        if self._source.structure.counts_frames:
            return _MP3_TOLERANCE if self._format == "mp3" else 0.0
        if self._format == "ogg" and self._source.stream.duration:
            return _OGG_TOLERANCE
        if self._format in _STATES_DURATION and len(self._source.container.streams) == 1:
            return _FILE_TOLERANCE
        return None

    def _decode(self) -> Iterator[av.AudioFrame]:
        position: float | None = None  # timestamp of the next frame in seconds
        try:
            for packet in self._source.container.demux(self._source.stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    self._bad_packets += 1
                    continue
                if frames and self._skipped_too_much():
                    self._broken = True
                    return
                for frame in frames:
                    position = self._follow(frame, position)
                    yield frame
        except av.FFmpegError:
            self._broken = True

    def _count(self, frames: int, rate: int) -> None:
        self.frames += frames
        self.seconds += frames / rate

    def _follow(self, frame: av.AudioFrame, expected: float | None) -> float | None:
        """Record the first timestamp and any gap before this frame; return where the frame ends."""
        if frame.time is None:
            return expected
        if self._first is None:
            self._first = frame.time
        if expected is not None and frame.time > expected + _GAP and self._gap is None:
            self._gap = self.seconds
        return frame.time + frame.samples / frame.sample_rate

    def _skipped_too_much(self) -> bool:
        """Return whether the packets that just failed leave a hole in the song."""
        bad, self._bad_packets = self._bad_packets, 0
        if bad and self.frames and self._gap is None:
            self._gap = self.seconds
        at_ends = not self.frames or self._format in _RAW_STREAMS
        # If the file states its number of frames, comparing the totals is more reliable.
        return bad > (BAD_PACKETS_AT_ENDS if at_ends else 0) and not self._source.structure.counts_frames
