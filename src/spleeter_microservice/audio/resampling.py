"""Conversion of decoded frames to float32, to two channels and to another sample rate."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import av
import numpy as np

from spleeter_microservice.arrays import Array

# NumPy type, value of silence and full scale of FFmpeg's sample formats; planar ones end in "p".
_FORMATS: Mapping[str, tuple[np.dtype[Any], int, int]] = MappingProxyType(
    {
        "u8": (np.dtype(np.uint8), 128, 2**7),
        "s16": (np.dtype(np.int16), 0, 2**15),
        "s32": (np.dtype(np.int32), 0, 2**31),
        "s64": (np.dtype(np.int64), 0, 2**63),
        "flt": (np.dtype(np.float32), 0, 1),
        "dbl": (np.dtype(np.float64), 0, 1),
    }
)

# With more channels, PyAV does not find the end of FFmpeg's list of eight planes.
_MAX_PLANES = 7

# ITU-R BS.775-3, annex 4, table 2: each channel's share of left and right, without low-frequency
# effects. Height and wide channels, which the table does not list, are treated as surrounds.
_HALF_POWER = 0.5**0.5
_LEFT = {"FL": 1.0, "DL": 1.0, "FLC": 1.0} | dict.fromkeys(
    ("SL", "BL", "WL", "SDL", "TFL", "TBL", "TSL", "BFL"), _HALF_POWER
)
_RIGHT = {"FR": 1.0, "DR": 1.0, "FRC": 1.0} | dict.fromkeys(
    ("SR", "BR", "WR", "SDR", "TFR", "TBR", "TSR", "BFR"), _HALF_POWER
)
_BOTH = {"FC": _HALF_POWER} | dict.fromkeys(("BC", "TC", "TFC", "TBC", "BFC"), 0.5)

# The most common layout for each number of channels, for files that do not name their channels.
_USUAL_LAYOUTS = MappingProxyType({3: "3.0", 4: "quad", 5: "5.0(side)", 6: "5.1(side)", 7: "6.1", 8: "7.1"})


def decoded_samples(frame: av.AudioFrame) -> Array:
    """Return the samples of a frame, shape (frames, channels), full scale being 1.

    Integers are divided by 2^(bits - 1), which is lossless up to 24 bits.
    """
    if frame.format.is_planar and frame.layout.nb_channels > _MAX_PLANES:
        frame = _packed(frame)
    name = frame.format.name
    # Not removesuffix: no packed format ends in "p".
    dtype, rest, scale = _FORMATS[name.rstrip("p")]
    channels = frame.layout.nb_channels
    samples = np.empty((frame.samples, channels), np.float32)
    planes: Any = frame.planes  # PyAV's type stubs lack their buffer protocol
    # A float64 beyond the range of float32 becomes infinite, which the reader reports.
    with np.errstate(over="ignore", invalid="ignore"):
        if name.endswith("p"):
            for channel, plane in enumerate(planes):
                samples[:, channel] = np.frombuffer(plane, dtype, frame.samples)
        else:
            values = np.frombuffer(planes[0], dtype, samples.size)
            np.copyto(samples, values.reshape(samples.shape), casting="unsafe")
    if rest:
        samples -= rest
    if scale != 1:
        samples *= np.float32(1 / scale)
    return samples


def _packed(frame: av.AudioFrame) -> av.AudioFrame:
    resampler = av.AudioResampler(format=frame.format.packed, layout=frame.layout, rate=frame.sample_rate)
    (packed,) = resampler.resample(frame)
    return packed


def at_most_stereo(samples: Array, layout: av.AudioLayout) -> Array:
    """Mix more than two channels down to stereo; return mono and stereo unchanged.

    The mix follows ITU-R BS.775. For 5.1, L' = L + 0.7071 C + 0.7071 Ls, and R' likewise, without
    the LFE. It is divided by the sum of these coefficients, so that it cannot clip. This makes the
    music quieter (5.1 by at most 7.7 dB), but keeps its balance.

    Args:
        samples: the frames to mix, shape (frames, channels).
        layout: the position of each channel.

    Returns:
        An array of shape (frames, 1 or 2).
    """
    if samples.shape[1] <= 2:
        return samples
    # The reader reports samples that are not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        return samples @ downmix_matrix(layout)


def downmix_matrix(layout: av.AudioLayout) -> Array:
    """Return coefficients of shape (channels, 2); each column sums to at most 1."""
    names = _channel_names(layout)
    matrix = np.array(
        [(_LEFT.get(name, _BOTH.get(name, 0)), _RIGHT.get(name, _BOTH.get(name, 0))) for name in names]
    )
    if not matrix.any(axis=0).all():  # an unknown layout, such as sixteen microphones
        matrix = np.ones((len(names), 2))
    return np.asarray(matrix / matrix.sum(axis=0).max(), np.float32)


def _channel_names(layout: av.AudioLayout) -> list[str]:
    names = [channel.name for channel in layout.channels]
    if set(names) & (_LEFT.keys() | _RIGHT.keys()) or len(names) not in _USUAL_LAYOUTS:
        return names
    return [channel.name for channel in av.AudioLayout(_USUAL_LAYOUTS[len(names)]).channels]


def as_stereo(samples: Array) -> Array:
    """Duplicate a single channel at a gain of exactly 1, as official Spleeter does."""
    return np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples


class Resampler:
    """A change of a stream's sample rate by libswresample; equal rates pass unchanged.

    It turns n frames into exactly round(n * target / source). The output depends on the whole
    stream so far, but not on how it is divided into chunks.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int) -> None:
        self._source_rate = source_rate
        self._target_rate = target_rate
        self._channels = channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._resampler = av.AudioResampler(format="flt", layout=self._layout, rate=target_rate)
        self._frames_in = 0
        self._frames_out = 0

    def push(self, samples: Array) -> list[Array]:
        """Add frames of shape (frames, channels); return the finished output in arrays of that shape."""
        if self._source_rate == self._target_rate:
            return [samples]
        if not len(samples):
            return []
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout=self._layout
        )
        frame.sample_rate = self._source_rate
        frame.pts = self._frames_in
        self._frames_in += len(samples)
        chunks = self._resample(frame)
        self._frames_out += sum(map(len, chunks))
        return chunks

    def finish(self, frames: int | None = None) -> list[Array]:
        """Return the rest of the output; the whole stream then has the given number of frames."""
        if not self._frames_in:
            return []
        if frames is None:
            frames = round(self._frames_in * self._target_rate / self._source_rate)
        rest = frames - self._frames_out
        padding = np.zeros((rest, self._channels), np.float32)
        return [np.concatenate([*self._resample(None), padding])[:rest]]

    def _resample(self, frame: av.AudioFrame | None) -> list[Array]:
        return [decoded_samples(resampled) for resampled in self._resampler.resample(frame)]
