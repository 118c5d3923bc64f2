"""Previews of outputs for players: Opus, whole and in segments that decode independently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.ogg_opus import PACKET_SAMPLES, RATE, SEGMENT_SECONDS, OggOpusWriter
from spleeter_microservice.files import replace_atomically

_SEGMENT_SAMPLES = SEGMENT_SECONDS * RATE
_PRE_ROLL = 6  # packets, after which a decoder that starts there predicts what it would have predicted
_TAIL = 8192  # frames of silence that push the end of the song through the resampler and the encoder
_BITS_PER_SECOND = 96_000
# The least complex encoding takes half the time of the usual one, and long packets save calls.
_OPTIONS = {"compression_level": "0", "frame_duration": str(1000 * PACKET_SAMPLES // RATE)}


class PreviewWriter(AbstractContextManager["PreviewWriter"]):
    """A writer of the preview of one output: the same packets as a whole file and as segments.

    Args:
        whole: path of the whole file.
        segment: returns the path of a segment, by its number from 0.
        sample_rate: sample rate of the output in Hz.

    Attributes:
        segments: number of complete segments.
    """

    def __init__(self, whole: Path, segment: Callable[[int], Path], sample_rate: int) -> None:
        self.segments = 0
        self._segment = segment
        self._sample_rate = sample_rate
        self._resampler = av.AudioResampler("fltp", "stereo", RATE)
        self._encoder = _opened_encoder()
        self._frames = 0
        self._packets = [*map(bytes, self._encoder.encode(_frame(_lead(self._encoder), RATE)))]
        self._pre_roll = 1  # packets
        self._file = whole.open("wb")
        self._whole = OggOpusWriter(self._file, PACKET_SAMPLES)

    def write(self, waveform: Waveform) -> None:
        """Encode the next frames, float32 of shape (frames, 2)."""
        self._packets += self._encoded(waveform)
        self._frames += len(waveform)
        while len(self._packets) >= self._pre_roll + _SEGMENT_SAMPLES // PACKET_SAMPLES:
            self._write_segment(_SEGMENT_SAMPLES)

    def finish(self) -> None:
        """Complete the last segment and the whole file."""
        self._packets += self._encoded(np.zeros((_TAIL, 2), np.float32))
        length = round(self._frames * RATE / self._sample_rate)
        while (rest := length - self.segments * _SEGMENT_SAMPLES) > 0:
            self._write_segment(min(rest, _SEGMENT_SAMPLES))
        self._whole.finish(length)
        self._file.close()

    def _encoded(self, waveform: Waveform) -> Iterator[bytes]:
        # FFmpeg copies its input several times: copies of a second take little memory and stay in the cache.
        for start in range(0, len(waveform), self._sample_rate):
            second = waveform[start : start + self._sample_rate]
            for resampled in self._resampler.resample(_frame(second, self._sample_rate)):
                yield from map(bytes, self._encoder.encode(resampled))

    def _write_segment(self, samples: int) -> None:
        end = self._pre_roll - samples // -PACKET_SAMPLES
        with replace_atomically(self._segment(self.segments)) as path, path.open("wb") as file:
            segment = OggOpusWriter(file, self._pre_roll * PACKET_SAMPLES)
            segment.write(self._packets[:end])
            segment.finish(samples)
        self._whole.write(self._packets[self._pre_roll if self.segments else 0 : end])
        self.segments += 1
        self._pre_roll = _PRE_ROLL
        del self._packets[: end - _PRE_ROLL]

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _opened_encoder() -> AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "stereo", "flt"
    encoder.bit_rate = _BITS_PER_SECOND
    encoder.options = _OPTIONS
    encoder.open()
    return encoder


def _lead(encoder: AudioCodecContext) -> Waveform:
    """Return the silence that makes the encoder's delay a whole packet, so that segments begin with one."""
    delay = int.from_bytes((encoder.extradata or b"")[10:12], "little")  # the pre-skip of RFC 7845
    return np.zeros((-delay % PACKET_SAMPLES, 2), np.float32)


def _frame(waveform: Waveform, sample_rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform.T), "fltp", "stereo")
    frame.sample_rate = sample_rate
    return frame
