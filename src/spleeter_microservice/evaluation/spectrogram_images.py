"""Pictures of spectrograms, computed block by block and drawn by matplotlib, which is optional."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.separation.spleeter.spectrogram import hann

WIDTH, HEIGHT = 360, 96
"""Size of a picture in pixels: time, and frequency on a logarithmic scale."""

_FRAME = 4096
_MIN_FREQUENCY, _MAX_FREQUENCY = 40.0, 16000.0  # Hz
_RANGE = 70.0  # dB from black to white


class Spectrogram:
    """A spectrogram whose size does not depend on the length of the song.

    Args:
        sample_rate: sample rate of the waveform in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        limit = min(_MAX_FREQUENCY, sample_rate / 2)
        edges = np.geomspace(_MIN_FREQUENCY, limit, HEIGHT + 1) * _FRAME / sample_rate
        self._low = np.floor(edges[:-1]).astype(int)
        self._high = np.maximum(np.ceil(edges[1:]).astype(int), self._low + 1)
        self._window = hann(_FRAME)
        self._rest: Waveform = np.empty((2, 0), np.float32)
        # Columns of power; when all are filled, pairs of them are merged.
        self._columns = np.zeros((2 * WIDTH, HEIGHT))
        self._filled, self._frames_in_last, self._frames_per_column = 0, 0, 1

    def add(self, waveform: Waveform) -> None:
        """Add the next samples, shape (2, samples)."""
        joined = np.concatenate([self._rest, waveform], axis=1)
        frames = joined.shape[1] // _FRAME
        framed = joined[:, : frames * _FRAME].reshape(2, frames, _FRAME)
        self._rest = joined[:, frames * _FRAME :]
        power = np.square(np.abs(np.fft.rfft(framed * self._window))).sum(axis=0)
        sums = np.concatenate([np.zeros((frames, 1)), np.cumsum(power, axis=1)], axis=1)
        for bands in sums[:, self._high] - sums[:, self._low]:
            self._add_frame(bands)

    def _add_frame(self, bands: NDArray[np.float64]) -> None:
        if self._frames_in_last == 0:
            if self._filled == len(self._columns):
                self._columns[:WIDTH] = self._columns.reshape(WIDTH, 2, HEIGHT).mean(axis=1)
                self._columns[WIDTH:] = 0
                self._filled, self._frames_per_column = WIDTH, 2 * self._frames_per_column
            self._filled += 1
        self._columns[self._filled - 1] += bands / self._frames_per_column
        self._frames_in_last = (self._frames_in_last + 1) % self._frames_per_column

    def decibels(self) -> NDArray[np.float64]:
        """Return the levels in dB, shape (frequencies from high to low, times)."""
        columns = self._columns[: max(1, self._filled)]
        return 10 * np.log10(columns.T[::-1] + 1e-10)


def png(spectrogram: Spectrogram, loudest: float) -> bytes:
    """Draw a spectrogram as a PNG file.

    Args:
        spectrogram: the spectrogram to draw.
        loudest: level in dB of the brightest colour, the same for pictures to be compared.
    """
    from matplotlib import colormaps  # noqa: PLC0415  # optional, and slow to import
    from matplotlib.image import imsave  # noqa: PLC0415

    levels = spectrogram.decibels()
    columns = np.linspace(0, levels.shape[1] - 1, WIDTH).round().astype(int)
    shades = np.clip((levels[:, columns] - loudest) / _RANGE + 1, 0, 1)
    pixels = (colormaps["magma"](shades)[..., :3] * 255).round().astype(np.uint8)
    out = io.BytesIO()
    imsave(out, pixels, format="png")
    return out.getvalue()
