"""Samples of decoded frames: as float32, as two channels, at the wanted rate."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# NumPy type, value at rest and full scale of FFmpeg's sample formats; planar ones end in "p".
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

# Of more channels, PyAV does not find the end of the list of planes.
_MAX_PLANES = 8

# ITU-R BS.775-3, annex 4, table 2: each channel's part in left and right. Low frequency effects
# are left out there. Heights and wides, which it does not know, are taken for surrounds.
_HALF_POWER = 0.5**0.5
_LEFT = {"FL": 1.0, "DL": 1.0, "FLC": 1.0} | dict.fromkeys(
    ("SL", "BL", "WL", "SDL", "TFL", "TBL", "TSL", "BFL"), _HALF_POWER
)
_RIGHT = {"FR": 1.0, "DR": 1.0, "FRC": 1.0} | dict.fromkeys(
    ("SR", "BR", "WR", "SDR", "TFR", "TBR", "TSR", "BFR"), _HALF_POWER
)
_BOTH = {"FC": _HALF_POWER} | dict.fromkeys(("BC", "TC", "TFC", "TBC", "BFC"), 0.5)

# What a number of channels most often means, for files that do not say.
_USUAL_LAYOUTS = MappingProxyType({3: "3.0", 4: "quad", 5: "5.0(side)", 6: "5.1(side)", 7: "6.1", 8: "7.1"})


def decoded_samples(frame: av.AudioFrame) -> Samples:
    """The samples of a frame as float32, full scale being 1, of shape (frames, channels).

    Integers are divided by 2^(bits - 1), which loses nothing up to 24 bits.
    """
    if frame.format.is_planar and frame.layout.nb_channels > _MAX_PLANES:
        frame = _packed(frame)
    name = frame.format.name
    # Not removesuffix: no packed format ends in "p".
    dtype, rest, scale = _FORMATS[name.rstrip("p")]
    channels = frame.layout.nb_channels
    samples = np.empty((frame.samples, channels), np.float32)
    # A float64 beyond the range of float32 becomes infinite, which is found and reported later.
    with np.errstate(over="ignore", invalid="ignore"):
        if name.endswith("p"):
            for channel, plane in enumerate(frame.planes):
                samples[:, channel] = np.frombuffer(_buffer(plane), dtype, frame.samples)
        else:
            values = np.frombuffer(_buffer(frame.planes[0]), dtype, samples.size)
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


def _buffer(plane: Any) -> Any:
    # PyAV's planes have the buffer protocol, which their type stubs do not say.
    return plane


def at_most_stereo(samples: Samples, layout: av.AudioLayout) -> Samples:
    """Mix more than two channels to stereo; mono and stereo pass untouched.

    The mix is that of ITU-R BS.775, as 5.1: L' = L + 0.7071 C + 0.7071 Ls, right likewise,
    without the LFE; divided by the sum of these coefficients, so that it cannot clip. Dividing
    makes the music quieter (5.1: by 7.7 dB at most), but it keeps the balance of the mix and the
    networks do not depend on level.

    Args:
        samples: float32, shape (frames, channels).
        layout: what each channel is.

    Returns:
        float32, shape (frames, 1 or 2).
    """
    if samples.shape[1] <= 2:
        return samples
    # Samples that are not finite are found and reported later.
    with np.errstate(over="ignore", invalid="ignore"):
        return samples @ downmix_matrix(layout)


def downmix_matrix(layout: av.AudioLayout) -> Samples:
    """Coefficients of shape (channels, 2), either column's sum being at most 1."""
    names = _channel_names(layout)
    matrix = np.array(
        [(_LEFT.get(name, _BOTH.get(name, 0)), _RIGHT.get(name, _BOTH.get(name, 0))) for name in names]
    )
    if not matrix.any(axis=0).all():  # an unknown layout, as of sixteen microphones
        matrix = np.ones((len(names), 2))
    return np.asarray(matrix / matrix.sum(axis=0).max(), np.float32)


def _channel_names(layout: av.AudioLayout) -> list[str]:
    names = [channel.name for channel in layout.channels]
    if set(names) & (_LEFT.keys() | _RIGHT.keys()) or len(names) not in _USUAL_LAYOUTS:
        return names
    return [channel.name for channel in av.AudioLayout(_USUAL_LAYOUTS[len(names)]).channels]


def as_stereo(samples: Samples) -> Samples:
    """Duplicate a single channel, with a gain of exactly 1, as official Spleeter does."""
    return np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples


class Resampler:
    """Changes the rate of a stream with libswresample; equal rates pass untouched.

    From n frames it makes exactly round(n * target / source). It is a stream: what comes out
    depends on all that went in before, but not on the sizes of the pieces.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int) -> None:
        self.source_rate = source_rate
        self.channels = channels
        self._target_rate = target_rate
        self._layout = "mono" if channels == 1 else "stereo"
        self._resampler = av.AudioResampler(format="flt", layout=self._layout, rate=target_rate)
        self._taken = 0
        self._given = 0

    def takes(self, source_rate: int, channels: int) -> bool:
        """Whether samples of this kind continue the stream."""
        return (source_rate, channels) == (self.source_rate, self.channels)

    def push(self, samples: Samples) -> list[Samples]:
        """Take (frames, channels), return pieces of (frames, channels) as far as they are known."""
        if self.source_rate == self._target_rate:
            return [samples]
        if not len(samples):
            return []
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout=self._layout
        )
        frame.sample_rate = self.source_rate
        frame.pts = self._taken
        self._taken += len(samples)
        return self._pieces(frame)

    def finish(self) -> list[Samples]:
        """Return the rest of a stream that has ended."""
        if not self._taken:
            return []
        total = round(self._taken * self._target_rate / self.source_rate)
        rest = total - self._given
        pieces = self._pieces(None)
        pieces.append(np.zeros((max(0, total - self._given), self.channels), np.float32))
        return [np.concatenate(pieces)[:rest]]

    def _pieces(self, frame: av.AudioFrame | None) -> list[Samples]:
        pieces = [decoded_samples(piece) for piece in self._resampler.resample(frame)]
        self._given += sum(map(len, pieces))
        return pieces
