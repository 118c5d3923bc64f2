"""Encoding of float samples into the packets of a codec in its container."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeAlias, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.film import Pictures
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.resampling import Resampler
from spleeter_microservice.audio.tagging import add_to_header
from spleeter_microservice.audio.tags import Tags
from spleeter_microservice.errors import EncodingError

_Packet: TypeAlias = "av.Packet[Any]"

# Frames converted at a time: small enough for the caches of a core.
CHUNK = 1 << 14

_CLOSING = 4 << 20  # bytes, at most, that follow the samples or are still in FFmpeg's buffers
_MOST_BITS_PER_CHANNEL = 256_000  # Opus refuses more

# Bits per second at 44.1 kHz that FFmpeg's Vorbis encoder took for a pop song at each quality. It
# overflows from quality 118 on.
_VORBIS_QUALITIES = (1, 2, 3, 4, 5, 7, 8, 9, 11, 17, 23, 35, 47, 59)
_VORBIS_KILOBITS = (73, 120, 154, 182, 206, 245, 261, 276, 301, 357, 396, 451, 491, 522)


class StemEncoder:
    """An encoder of one file, with one sound track or several, into a file-like object, which stays open.

    Args:
        file: the file-like object.
        output_format: format to encode in.
        sample_rate: sample rate of what is written, in Hz.
        frames: length of the stem, or an estimate; 0 if it is unknown. See ``Encoder.hides_start``.
        seed: seed of the noise of dither, which should differ between the stems of a song.
        tags: tags of the stem; ``tagging.add_to_file`` writes those that FFmpeg cannot.
        pictures: pictures to copy into the file, if it is a film.
    """

    def __init__(
        self,
        file: Any,
        output_format: OutputFormat,
        sample_rate: int,
        frames: float = 0,
        seed: int = 0,
        tags: Tags | None = None,
        pictures: Pictures | None = None,
    ) -> None:
        self._file = file
        self._encoder = output_format.encoder
        rate = output_format.sample_rate or output_format.kind.nearest_rate(sample_rate)
        self._container: OutputContainer = av.open(
            file,
            mode="w",
            format=self._encoder.muxer,
            container_options={
                name: value.format(rate=rate) for name, value in self._encoder.container_options
            },
        )
        self._pictures = pictures
        if pictures:
            pictures.add_to(self._container)
        late = pictures.late if pictures else 0.0
        self._tracks = [
            _Track(self._container, output_format, sample_rate, rate, seed + number, late)
            for number in range(output_format.tracks)
        ]
        for track, name in zip(self._tracks[1:], output_format.kind.tracks, strict=True):
            track.name(name)
        if tags:
            add_to_header(self._container, self._encoder.muxer, tags)
        for track in self._tracks:
            self._mux(track.begin(frames))

    @property
    def clipped_samples(self) -> int:
        """Number of samples, in all channels, that were beyond full scale and clamped."""
        return sum(track.clipped_samples for track in self._tracks)

    def write(self, waveform: Waveform) -> None:
        """Encode the next frames, float32 of shape (frames, 2 × tracks); mono is their first channel.

        Raises:
            FloatingPointError: if a sample is not finite.
            EncodingError: if the file would become larger than its container can state.
        """
        columns = 2 * len(self._tracks)
        if waveform.ndim != 2 or waveform.shape[1] != columns:
            raise ValueError(f"The file takes the shape (frames, {columns}), not {waveform.shape}.")
        with ThreadPoolExecutor(len(self._tracks)) as threads:
            write = threads.map if len(self._tracks) > 1 else map
            for start in range(0, len(waveform), CHUNK):
                parts = np.hsplit(waveform[start : start + CHUNK], len(self._tracks))
                for packets in write(_Track.write, self._tracks, parts):
                    self._mux(packets)

    def finish(self, frames: int | None = None) -> None:
        """Encode what is pending and complete the container.

        Args:
            frames: length of the file in frames, if it is not that of everything written, rounded.
        """
        for track in self._tracks:
            self._mux(track.finish(frames))
        if self._pictures:
            self._pictures.write_until(self._container, math.inf)
        self._container.start_encoding()  # writes the header, if nothing else was written
        self._container.close()

    def abandon(self) -> None:
        """Release the encoder after an error; close the file first."""
        with suppress(Exception):  # the first error was reported already
            self._container.close()

    def _mux(self, packets: Iterable[_Packet]) -> None:
        for packet in packets:
            self._container.mux(packet)
        if self._pictures:
            self._pictures.write_until(self._container, self._tracks[0].seconds)
        largest = self._encoder.largest
        if largest and self._file.tell() > largest - _CLOSING:
            raise EncodingError(
                f"{self._encoder.muxer.upper()} files cannot be larger than {largest >> 30} GiB. "
                "Choose another codec, or a shorter part of the song."
            )


class _Track:
    """One sound track of a file, whose packets it yields.

    Args:
        container: container to add it to.
        output_format: format to encode in.
        sample_rate: sample rate of what is written, in Hz.
        rate: sample rate of the track in Hz.
        seed: seed of the noise of dither.
        late: seconds by which the song begins later than the file.

    Attributes:
        clipped_samples: number of samples, in all channels, that were beyond full scale and clamped.
    """

    def __init__(
        self,
        container: OutputContainer,
        output_format: OutputFormat,
        sample_rate: int,
        rate: int,
        seed: int,
        late: float,
    ) -> None:
        self.clipped_samples = 0
        self._noise = np.random.default_rng(seed) if output_format.dither else None
        self._encoder = output_format.encoder
        self._channels = output_format.channels
        self._sample_rate, self._rate = sample_rate, rate
        self._late = round(late * rate)
        self._stream = self._add_stream(container, output_format)
        self._resampler = Resampler(sample_rate, rate, self._channels)
        self._block = int(self._stream.codec_context.frame_size)  # frames that are encoded at once
        self._sent = 0  # frames of the song sent to the encoder; negative before its start

    @property
    def seconds(self) -> float:
        """Seconds of the song that were sent to the encoder."""
        return self._sent / self._rate

    def name(self, name: str) -> None:
        """Name the track for programs that do not know the manifest of a file of all stems."""
        self._stream.metadata["handler_name"] = name

    def begin(self, frames: float) -> Iterator[_Packet]:
        """Encode the silence before the song, whose estimated length is 0 if it is unknown."""
        yield from self._encoded(self._silence(self._encoder.lead * self._block))
        if self._encoder.hides_start and frames >= self._block:  # FFmpeg loses shorter songs
            self._sent = -(-round(frames * self._rate / self._sample_rate) % self._block)
            yield from self._encoded(self._silence(-self._sent))

    def write(self, samples: Waveform) -> list[_Packet]:
        """Encode the next frames, of shape (frames, 2)."""
        pieces = self._resampler.push(self._clamped(samples[:, : self._channels]))
        return [packet for piece in pieces for packet in self._encoded(piece)]

    def finish(self, frames: int | None) -> Iterator[_Packet]:
        """Encode what is pending."""
        for piece in self._resampler.finish(frames):
            yield from self._encoded(piece)
        end = self._sent
        for packet in (
            *self._encoded(self._silence(self._encoder.tail * self._block)),
            *self._stream.encode(None),
        ):
            if self._is_needed(packet, end):
                yield packet

    def _add_stream(self, container: OutputContainer, output_format: OutputFormat) -> AudioStream:
        encoder = self._encoder
        stream = cast(
            AudioStream, container.add_stream(encoder.name, rate=self._rate, options=dict(encoder.options))
        )
        context = stream.codec_context
        context.layout = self._layout
        context.format = encoder.sample_format
        if bits_per_second := output_format.bits_per_second:
            context.bit_rate = min(bits_per_second, self._channels * _MOST_BITS_PER_CHANNEL)
            if encoder.name == "vorbis":
                context.qscale = True
                context.global_quality = vorbis_quality(bits_per_second)
        context.open()
        return stream

    @property
    def _layout(self) -> str:
        return "mono" if self._channels == 1 else "stereo"

    def _silence(self, frames: int) -> Waveform:
        return np.zeros((frames, self._channels), np.float32)

    def _clamped(self, samples: Waveform) -> Waveform:
        """Return the samples clamped to full scale, and count those that were beyond it."""
        low, high = float(samples.min()), float(samples.max())
        if low >= -1 and high <= 1:
            return samples
        if not np.isfinite(low + high):
            raise FloatingPointError("it has samples that are not finite numbers")
        if not self._encoder.clamps:
            return samples
        self.clipped_samples += int(np.count_nonzero(np.abs(samples) > 1))
        return np.clip(samples, -1, 1)

    def _encoded(self, samples: Waveform) -> Iterable[_Packet]:
        if not len(samples):
            return ()
        frame = av.AudioFrame.from_ndarray(
            _in_format(samples, self._encoder.sample_format, self._encoder.bits, self._noise),
            format=self._encoder.sample_format,
            layout=self._layout,
        )
        frame.sample_rate = self._rate
        frame.pts = self._late + self._sent
        self._sent += len(samples)
        return self._stream.encode(frame)

    def _is_needed(self, packet: _Packet, end: int) -> bool:
        """Return whether one of the last packets belongs to the song, and cut it to the song's end."""
        position = packet.pts or 0
        if self._encoder.cuts_end:
            packet.duration = max(0, min(packet.duration or 0, end - position))
            return packet.duration > 0
        if self._encoder.drops_padding:  # the first frame is always needed
            return position <= end or position < self._block
        return True


def _in_format(
    samples: Waveform, sample_format: str, bits: int | None, noise: np.random.Generator | None
) -> NDArray[Any]:
    """Return samples as FFmpeg expects them: (1, frames × channels) packed, or (channels, frames) planar.

    Integers are rounded to the nearest and clamped, as libswresample does; 24-bit samples use the
    upper bits of 32. Dither is the difference of two uniform numbers, so that neither the mean nor the
    power of the error depends on the signal (Lipshitz et al., "Quantization and Dither", 1992).
    """
    planar = sample_format.endswith("p")
    if bits is None:
        return np.ascontiguousarray(samples.T if planar else samples.reshape(1, -1))
    scale = np.float32(1 << (bits - 1))
    scaled = np.ascontiguousarray(samples.T if planar else samples.reshape(1, -1)) * scale
    if noise is not None:
        for sign in (1, -1):
            scaled += sign * noise.random(scaled.shape, np.float32)
        np.maximum(scaled, -scale, out=scaled)
    np.rint(scaled, out=scaled)
    np.minimum(scaled, scale - 1, out=scaled)
    if bits == 16:
        return scaled.astype(np.int16)
    return scaled.astype(np.int32) << (32 - bits)


def vorbis_quality(bits_per_second: int) -> int:
    """Return the ``global_quality`` of FFmpeg's Vorbis encoder that comes nearest to a bitrate."""
    return round(float(np.interp(bits_per_second / 1000, _VORBIS_KILOBITS, _VORBIS_QUALITIES)))
