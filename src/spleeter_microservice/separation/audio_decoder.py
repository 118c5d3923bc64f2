"""From packets to samples, and whether these were all that the file promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av

from spleeter_microservice.errors import NotAudioError, TruncatedInputError, UnreadableInputError
from spleeter_microservice.separation.audio_input import AudioInput
from spleeter_microservice.separation.audio_samples import Samples, at_most_stereo, decoded_samples

# So many packets may fail before the first and behind the last good one, being dirt or a tag.
BAD_PACKETS_AT_ENDS = 3
# Frames that a codec may decode behind the end that its container states, to fill its last block.
CODEC_PADDING = 8192
MP3_TOLERANCE = 3 * 1152  # frames

# Containers that say where within the last block the song ends, when decoders do not cut it there.
_STATES_END = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "ogg"))
# Streams without a container: what is not a frame is skipped, as players do.
_BARE = frozenset(("mp3", "aac", "ac3", "eac3", "dts", "truehd", "flac"))


class Decoder:
    """Decodes the audio stream of an open file from beginning to end, once.

    Attributes:
        announced_duration: seconds that the file says it lasts, sometimes an estimate, or None.
        decoded_frames, decoded_seconds: what there was so far, at the rate of the file.
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
        self.decoded_frames = 0
        self.decoded_seconds = 0.0
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
        held: list[tuple[int, Samples]] = []
        for rate, samples in self._decode():
            begin = self.decoded_frames - len(samples)
            keep = len(samples) if end is None else max(0, min(len(samples), end - begin))
            if keep:
                yield rate, samples[:keep]
            if keep < len(samples):
                held.append((rate, samples[keep:]))
            if end is not None and self.decoded_frames > end + CODEC_PADDING:
                yield from held  # more than any codec fills up: the end was stated wrongly
                held, end = [], None

    def check_whole(self, offset: float) -> None:
        """After the last sample, make sure that nothing lacks.

        Args:
            offset: seconds at which the part begins that was asked for, for the advice given.

        Raises:
            NotAudioError: when there was data, but none of it could be decoded.
            TruncatedInputError: when the file broke, or ended before its end.
        """
        if not self.decoded_frames and self._bad_packets and not self._source.structure.cut_off:
            raise NotAudioError(f"{self._path} looks like {self._format}, but nothing in it can be decoded.")
        too_many_bad = self._bad_packets > BAD_PACKETS_AT_ENDS and self._format not in _BARE
        if not (self._broken or too_many_bad or self._source.structure.cut_off or self._count_is_short()):
            return
        announced = self.announced_duration
        of = f" of {announced:.2f}" if announced and announced > self.decoded_seconds else ""
        advice = "Copy or download it again"
        readable = int((self.decoded_seconds - offset) * 100) / 100
        if readable > 0:
            advice += f", or separate the part that can be read with -d {readable:.2f}"
        read = f"only {self.decoded_seconds:.2f}{of} s can be read"
        raise TruncatedInputError(f"{self._path} is cut off or damaged: {read}. {advice}.")

    def _find_duration(self) -> float | None:
        stream, container = self._source.stream, self._source.container
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

    def _count_is_short(self) -> bool:
        if not self._source.structure.counts_frames or not self.announced_duration:
            return False
        rate = self._context.sample_rate
        tolerance = 0 if self._format == "flac" else MP3_TOLERANCE
        return self.decoded_frames < round(self.announced_duration * rate) - tolerance

    def _decode(self) -> Iterator[tuple[int, Samples]]:
        try:
            for packet in self._source.container.demux(self._source.stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    self._bad_packets += 1
                    continue
                if frames and self._is_gap():
                    self._broken = True
                    return
                for frame in frames:
                    self.decoded_frames += frame.samples
                    self.decoded_seconds += frame.samples / frame.sample_rate
                    yield frame.sample_rate, at_most_stereo(decoded_samples(frame), frame.layout)
        except av.FFmpegError:
            self._broken = True
        except OSError as error:
            raise UnreadableInputError(
                f"{self._path} cannot be read: {error}. Check the disk or the network that it lies on."
            ) from error

    def _is_gap(self) -> bool:
        """Whether the packets that just failed leave a hole in the song."""
        bad, self._bad_packets = self._bad_packets, 0
        if self._source.structure.counts_frames:
            return False  # the count will tell
        at_ends = self.decoded_frames == 0 or self._format in _BARE
        return bad > (BAD_PACKETS_AT_ENDS if at_ends else 0)
