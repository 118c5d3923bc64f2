"""Waveform overviews for players: the extremes of each pixel, as audiowaveform's JSON has them."""

from __future__ import annotations

import numpy as np

from spleeter_microservice.arrays import Array, Waveform

MAX_PIXELS = 4000
_INITIAL_SAMPLES_PER_PIXEL = 256
_FULL_SCALE = 127


class Peaks:
    """The overview of a stem, computed while it is written, in memory that does not grow.

    If the stem has too many pixels, pairs of them are merged. A pixel always covers 256 samples
    times a power of two.
    """

    def __init__(self) -> None:
        self.samples_per_pixel = _INITIAL_SAMPLES_PER_PIXEL
        self._pixels = np.empty((0, 2), np.float32)  # minimum and maximum of each
        self._rest = np.empty((0, 2), np.float32)  # samples that do not fill a pixel yet

    def add(self, waveform: Waveform) -> None:
        """Add the next samples, shape (samples, 2)."""
        samples = np.concatenate([self._rest, waveform])
        whole = len(samples) // self.samples_per_pixel * self.samples_per_pixel
        self._rest = samples[whole:].copy()
        self._append(samples[:whole].reshape(-1, self.samples_per_pixel, 2))
        while len(self._pixels) > MAX_PIXELS:
            self._halve()

    def data(self) -> list[int]:
        """Return the minimum and maximum of each pixel in turn, over both channels, as 8-bit integers."""
        pixels = self._pixels
        if len(self._rest):
            pixels = np.vstack([pixels, [[self._rest.min(), self._rest.max()]]])
        scaled = np.clip(np.rint(pixels * _FULL_SCALE), -_FULL_SCALE - 1, _FULL_SCALE)
        return [int(value) for value in scaled.reshape(-1)]

    def _append(self, samples: Array) -> None:
        """Add pixels with the given samples, shape (pixels, samples per pixel, 2)."""
        extremes = np.stack([samples.min(axis=(1, 2)), samples.max(axis=(1, 2))], axis=1)
        self._pixels = np.concatenate([self._pixels, extremes])

    def _halve(self) -> None:
        """Merge pairs of pixels; turn a last one without a partner back into samples."""
        if len(self._pixels) % 2:
            last = np.full((self.samples_per_pixel, 2), self._pixels[-1, 0])
            last[0] = self._pixels[-1]  # samples with the same extremes
            self._rest = np.concatenate([last, self._rest])
            self._pixels = self._pixels[:-1]
        pairs = self._pixels.reshape(-1, 2, 2)
        self._pixels = np.stack([pairs[:, :, 0].min(axis=1), pairs[:, :, 1].max(axis=1)], axis=1)
        self.samples_per_pixel *= 2
