"""Decoding of packets to samples, which skips damage and fills gaps with silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.audio.parts import Structure
from spleeter_microservice.audio.resampling import at_most_stereo, decoded_samples
from spleeter_microservice.audio.source import OpenPart, unreadable
from spleeter_microservice.audio.warnings import NOTICEABLE

Warn = Callable[[str, str, float], None]
"""Called with the code, the message and the position of a warning, in seconds of the part."""

Check = Callable[[], None]
"""Called to find out whether to continue, in any thread."""

MIN_SAMPLE_RATE = 1000
MAX_SAMPLE_RATE = 6_000_000  # DSD is decoded at up to 5.6 MHz
"""Accepted sample rates in Hz: a forged one could exhaust the memory, or turn a few bytes into hours."""

# Packets that may fail before the first and after the last good one, and anywhere in streams without
# a container: they are junk or tags.
_JUNK_PACKETS = 3
# Frames that a codec may decode past the end stated by the container, to fill its last block.
CODEC_PADDING = 8192
# Errors of the container itself after which to read on.
_MOST_ERRORS = 100
# Seconds of silence that are put into one file: a damaged time may promise years.
_MOST_SILENCE = 6 * 3600.0

# Seconds by which a song may fall short of its stated duration: positions in Ogg are those of pages,
# Xing headers count inexactly, and other containers state the duration of the whole file.
_FILE_TOLERANCE = 1.0
# Bytes per second, fewer than which no sound has: the stated duration is then wrong.
_FEWEST_BYTES = 10
_LONGEST = 1e7  # seconds

# Containers that state the duration of the sound, provided that they hold nothing else.
_STATES_DURATION = frozenset(("matroska,webm", "asf", "avi", "flv", "rm"))
# Containers that state where in the last block the song ends; decoders do not always cut it there.
_STATES_END = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "ogg"))
# Streams without a container. Like a player, skip whatever is not a frame.
_RAW_STREAMS = frozenset(("mp3", "aac", "ac3", "eac3", "dts", "truehd", "flac"))
# Containers of broadcasts, whose timestamps may restart at any point.
_BROADCASTS = frozenset(("mpegts", "mpeg"))
_LONGEST_BROADCAST_GAP = 10.0  # seconds
_MOST_DRIFT = 0.9  # of a frame's length

_SILENT_BLOCK = 1 << 16  # frames


class Decoder:
    """A single pass over the audio stream of an open file or part of one.

    Args:
        path: path of the file, for error messages.
        part: what to decode.
        structure: findings about the file.
        warn: called with whatever is odd.
        check: called with every packet and block of silence; decoding ends with the error that it raises.

    Attributes:
        announced_duration: seconds that the file claims to last, sometimes an estimate, or None.
        frames: number of frames so far, at the sample rate of the file.
        seconds: the same in seconds.
        bad_packets: packets that cannot be decoded, since the last that could be.
        is_cut: whether the file ends before its stated end; set after the last sample.
    """

    def __init__(self, path: Path, part: OpenPart, structure: Structure, warn: Warn, check: Check) -> None:
        self._path, self._part, self._structure, self._warn = path, part, structure, warn
        self._check = check
        self._format = part.container.format.name
        self._context = part.stream.codec_context
        # Checksums are reliable in FLAC and Ogg; in MP3 many are wrong although the sound is fine.
        if self._format in ("flac", "ogg"):
            self._context.options = {"err_detect": "crccheck"}
        self._lost: float | None = None  # seconds at which packets that failed left no gap in the times
        self._first: float | None = None  # time of the first frame, in seconds
        self._end = 0.0  # time at which the last frame ended, in seconds
        self._origin = 0.0  # time at which the sound would have begun if no time had jumped
        self._next: int | None = None  # where the next packet of a stream without a container is expected
        self._skipped = False  # whether a packet since the last frame was elsewhere
        self._silence = 0.0  # seconds of silence that were put into gaps
        self._clock = 0.0  # seconds of sound and silence so far, with the codec's padding
        self.frames = 0
        self.seconds = 0.0
        self.bad_packets = 0
        self.is_cut = False
        self.announced_duration = self._find_duration()

    def samples(self) -> Iterator[tuple[int, Array]]:
        """Decode to the end of the file.

        Yields:
            Pairs of sample rate in Hz and float32 array of shape (frames, 1 or 2). The rate and the
            number of channels may change within a file.

        Raises:
            UnreadableInputError: if reading the file fails.
        """
        end = self._stated_end()
        excess: list[tuple[int, Array]] = []  # decoded past the stated end
        for rate, samples in self._timed():
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
        if self._part.view.error:
            raise unreadable(self._path, self._part.view.error)
        self._check_end()

    def _count(self, frames: int, rate: int) -> None:
        self.frames += frames
        self.seconds += frames / rate

    def _timed(self) -> Iterator[tuple[int, Array]]:
        """Yield the decoded samples, and silence wherever the file's times jump."""
        for frame in self._decode():
            rate = frame.sample_rate
            samples = decoded_samples(frame)
            is_same = samples.shape[1] == self._part.layout.nb_channels
            samples = at_most_stereo(samples, self._part.layout if is_same else frame.layout)
            missing = round(self._gap_before(frame) * rate)
            for start in range(0, missing, _SILENT_BLOCK):
                self._check()
                yield rate, np.zeros((min(_SILENT_BLOCK, missing - start), samples.shape[1]), np.float32)
            self._clock += (missing + len(samples)) / rate
            yield rate, samples

    def _decode(self) -> Iterator[av.AudioFrame]:
        """Yield every frame that can be decoded, whatever is between them."""
        for _ in range(_MOST_ERRORS):
            try:
                for packet in self._part.container.demux(self._part.stream):
                    self._check()
                    self._follow(packet)
                    try:
                        frames = packet.decode()
                    except av.FFmpegError:
                        self.bad_packets += 1
                        continue
                    for frame in frames:
                        if MIN_SAMPLE_RATE <= frame.sample_rate <= MAX_SAMPLE_RATE:
                            yield frame
                        else:
                            self.bad_packets += 1
            except av.FFmpegError:
                self.bad_packets += 1
            else:
                return

    def _follow(self, packet: av.Packet[Any]) -> None:
        """Note whether bytes between the packets of a stream without a container belong to none."""
        if self._format in _RAW_STREAMS and packet.pos is not None:
            self._skipped = self._skipped or self._next not in (None, packet.pos)
            self._next = packet.pos + packet.size

    def _gap_before(self, frame: av.AudioFrame) -> float:
        """Return the seconds of silence to put before a frame."""
        bad, self.bad_packets = self.bad_packets, 0
        skipped, self._skipped = self._skipped, False
        gap = self._jump(frame)
        ends = self._clock + gap  # if silence fills the gap
        counted = self._format in _RAW_STREAMS or (self._format == "avi" and not bad)
        if counted and not (skipped and ends <= (self.announced_duration or 0.0)):
            # These times are counted: from block numbers, which some encoders write wrongly, or from packets.
            self._origin, gap = self._origin + gap, 0.0
        if gap < NOTICEABLE:
            self._note_lost(bad)
            return 0.0
        longest = _LONGEST_BROADCAST_GAP if self._format in _BROADCASTS else _MOST_SILENCE - self._silence
        if gap > longest:
            self._warn(
                "time-jump",
                f"The times in the file jump by {gap:.2f} s; no silence is put there.",
                self.seconds,
            )
            self._origin += gap
            return 0.0
        if bad or skipped:
            self._warn("damaged", f"{gap:.2f} s cannot be decoded; silence replaces them.", self.seconds)
        else:
            self._warn("gap", f"The file has no sound for {gap:.2f} s; silence fills the gap.", self.seconds)
        self._silence += gap
        return gap

    def _jump(self, frame: av.AudioFrame) -> float:
        """Return the seconds by which a frame's time is ahead of the sound so far."""
        time, length = frame.time, frame.samples / frame.sample_rate
        if time is None:
            self._end += length
            return 0.0
        if self._first is None:
            self._first, self._origin, self._end = time, time - self._clock, time
        step = time - self._end
        self._end = time + length
        gap = time - self._origin - self._clock
        # A clock that is a little too fast leaves a little time between all frames, not that of a lost one.
        is_drift = gap >= NOTICEABLE and step < _MOST_DRIFT * min(length, NOTICEABLE)
        if gap > -NOTICEABLE and not is_drift:
            return gap
        self._origin += gap  # the timestamps restart
        if step <= -NOTICEABLE and self._format not in _RAW_STREAMS:
            text = f"The times in the file jump back by {-gap:.2f} s; the sound goes on without a break."
            self._warn("time-jump", text, self.seconds)
        return 0.0

    def _note_lost(self, bad: int) -> None:
        """Note that packets before a frame failed, although no time is missing."""
        if not bad or not self.frames:
            return
        if self._lost is None:
            self._lost = self.seconds
        # If the file states its number of frames, comparing the totals is more reliable.
        if bad > _JUNK_PACKETS and not self._structure.counts_frames:
            self._warn("damaged", f"{bad} packets cannot be decoded; they are left out.", self.seconds)

    def _find_duration(self) -> float | None:
        stream, container = self._part.stream, self._part.container
        found = self._part.part.seconds
        if found is None and stream.duration and stream.time_base:
            found = float(stream.duration * stream.time_base) - self._opus_preskip()
        elif found is None and container.duration:
            found = container.duration / av.time_base
        if found is None or not 0 <= found <= min(_LONGEST, self._part.view.size / _FEWEST_BYTES):
            return None
        return found

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

    def _check_end(self) -> None:
        """Warn if part of the song is missing; called after the last sample."""
        stated = self._structure.stated_seconds or self.announced_duration
        # A recording's times may begin anywhere; its duration is then that of its end.
        missing = stated - max(0.0, self._first or 0.0) - self.seconds if stated else 0.0
        tolerance = self._tolerance()
        is_short = tolerance is not None and missing >= tolerance
        excess = self.seconds - self._silence - stated if stated else 0.0
        end = f"The file states {stated:.2f} s, but" if stated and missing > 0 else "The file"
        if self._structure.cut_off or (is_short and self._lost is None and not self._structure.is_whole):
            self.is_cut = True
            self._warn("cut-off", f"{end} ends after {self.seconds:.2f} s.", self.seconds)
        elif is_short and self._lost is not None:
            self._warn("damaged", f"{missing:.2f} s cannot be decoded; they are left out.", self._lost)
        elif is_short or (tolerance is not None and excess >= tolerance):
            self._warn(
                "wrong-length", f"The file states {stated:.2f} s, but lasts {self.seconds:.2f} s.", 0.0
            )
        elif self.bad_packets > _JUNK_PACKETS and self._format not in _RAW_STREAMS and missing >= NOTICEABLE:
            self._warn("damaged", f"{end} cannot be decoded after {self.seconds:.2f} s.", self.seconds)

    def _tolerance(self) -> float | None:
        """Return the seconds that may be missing, or None if the duration is only an estimate."""
        if self._structure.counts_frames or (self._format == "ogg" and self._part.stream.duration):
            return NOTICEABLE
        if self._format in _STATES_DURATION and len(self._part.container.streams) == 1:
            return _FILE_TOLERANCE
        return None
