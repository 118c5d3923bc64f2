"""From packets to samples, and whether these were all that the file promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from spleeter_microservice.audio.resampling import Samples, at_most_stereo, decoded_samples
from spleeter_microservice.audio.source import AudioInput, unreadable
from spleeter_microservice.errors import NotAudioError, TruncatedInputError

# So many packets may fail before the first and behind the last good one, being dirt or a tag.
BAD_PACKETS_AT_ENDS = 3
# Frames that a codec may decode behind the end that its container states, to fill its last block.
CODEC_PADDING = 8192

# Seconds that may lack of what is stated: Xing headers count more or less than there is, positions
# in Ogg are those of pages, and others state the duration of the file rather than of its sound.
_MP3_TOLERANCE = 3 * 1152 / 44100
_OGG_TOLERANCE = 0.1
_FILE_TOLERANCE = 1.0

# Jump of the positions in a file, in seconds, that tells that something between was skipped.
_GAP = 0.05

# Containers whose duration is that of the sound if there is nothing else in them.
_STATES_DURATION = frozenset(("matroska,webm", "asf"))
# Containers that say where within the last block the song ends, when decoders do not cut it there.
_STATES_END = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "ogg"))
# Streams without a container: what is not a frame is skipped, as players do.
_BARE = frozenset(("mp3", "aac", "ac3", "eac3", "dts", "truehd", "flac"))


class Decoder:
    """Decodes the audio stream of an open file from beginning to end, once.

    Attributes:
        announced_duration: seconds that the file says it lasts, sometimes an estimate, or None.
        frames, seconds: what was decoded so far; frames at the rate of the file.
    """

    def __init__(self, path: Path, source: AudioInput) -> None:
        self._path = path
        self._source = source
        self._format = source.container.format.name
        self._context = source.stream.codec_context
        # Of FLAC and Ogg, check the checksums too; of MP3, many are wrong though the sound is not.
        if self._format in ("flac", "ogg"):
            self._context.options = {"err_detect": "crccheck"}
        self._bad_packets = 0
        self._broken = False
        self._gap: float | None = None  # seconds at which something was skipped first
        self._first: float | None = None  # position of the first frame in seconds
        self.frames = 0
        self.seconds = 0.0
        self.announced_duration = self._find_duration()

    def samples(self) -> Iterator[tuple[int, Samples]]:
        """Decode up to the end, or up to where the file breaks.

        Yields:
            Pairs of sample rate and float32 array of shape (frames, 1 or 2). Both may change within
            a file.

        Raises:
            UnreadableInputError: when the medium fails.
        """
        end = self._stated_end()
        held: list[tuple[int, Samples]] = []  # beyond the end
        for frame in self._decode():
            rate, samples = frame.sample_rate, at_most_stereo(decoded_samples(frame), frame.layout)
            keep = len(samples) if end is None else max(0, min(len(samples), end - self.frames))
            self._count(keep, rate)
            if keep:
                yield rate, samples[:keep]
            if keep < len(samples):
                held.append((rate, samples[keep:]))
            if sum(len(more) for _, more in held) > CODEC_PADDING:
                # No codec fills up so much: the end was stated wrongly, as in a chain of two files.
                for rate, samples in held:
                    self._count(len(samples), rate)
                    yield rate, samples
                held, end = [], None
        if self._source.file.error:
            raise unreadable(self._path, self._source.file.error)

    def check_whole(self, offset: float) -> None:
        """After the last sample, make sure that nothing lacks.

        Args:
            offset: seconds at which the part begins that was asked for, for the advice given.

        Raises:
            NotAudioError: when there was data, but none of it could be decoded.
            TruncatedInputError: when the file broke, or ended before its end.
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
            advice += f", or separate the part that can be read with -d {readable:.2f}"
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
        """Seconds that the positions in an Ogg file of Opus count, but nobody hears."""
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
        return self._broken or (self._bad_packets > BAD_PACKETS_AT_ENDS and self._format not in _BARE)

    def _is_short(self) -> bool:
        """Whether there was less than is reliably stated."""
        tolerance = self._tolerance()
        if tolerance is None or not self.announced_duration:
            return False
        # Positions in recordings may begin at any time, and the duration be that of the end.
        lacking = self.announced_duration - max(0.0, self._first or 0.0) - self.seconds
        return round(lacking * self._context.sample_rate) > round(tolerance * self._context.sample_rate)

    def _tolerance(self) -> float | None:
        """Seconds that may lack, or None where the duration is no more than an estimate."""
        if self._source.structure.counts_frames:
            return _MP3_TOLERANCE if self._format == "mp3" else 0.0
        if self._format == "ogg" and self._source.stream.duration:
            return _OGG_TOLERANCE
        if self._format in _STATES_DURATION and len(self._source.container.streams) == 1:
            return _FILE_TOLERANCE
        return None

    def _decode(self) -> Iterator[av.AudioFrame]:
        position: float | None = None  # seconds, by the positions in the file
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
        """Note the first frame's position and a gap before this one; return where it ends."""
        if frame.time is None:
            return expected
        if self._first is None:
            self._first = frame.time
        if expected is not None and frame.time > expected + _GAP and self._gap is None:
            self._gap = self.seconds
        return frame.time + frame.samples / frame.sample_rate

    def _skipped_too_much(self) -> bool:
        """Whether the packets that just failed leave a hole in the song."""
        bad, self._bad_packets = self._bad_packets, 0
        if bad and self.frames and self._gap is None:
            self._gap = self.seconds
        at_ends = not self.frames or self._format in _BARE
        # Where frames are counted, the count will tell, and better.
        return bad > (BAD_PACKETS_AT_ENDS if at_ends else 0) and not self._source.structure.counts_frames
