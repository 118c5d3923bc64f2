"""What a player draws of a stem: least and greatest samples, in the JSON form of audiowaveform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Waveform

MOST_PIXELS = 4000
_BEGIN = 256  # samples per pixel
_FULL_SCALE = 127


class Peaks:
    """Takes in a stem as it is written; memory does not grow with its length.

    When there are too many pixels, pairs become one: a pixel always stands for 256 samples times
    a power of two.
    """

    def __init__(self) -> None:
        self.samples_per_pixel = _BEGIN
        self._pixels = np.empty((0, 2), np.float32)
        self._rest = np.empty((0, 2), np.float32)  # samples that make no pixel yet

    def add(self, waveform: Waveform) -> None:
        """Take in samples of shape (frames, 2)."""
        samples = np.concatenate([self._rest, waveform])
        whole = len(samples) // self.samples_per_pixel * self.samples_per_pixel
        self._rest = samples[whole:].copy()
        self._append(samples[:whole].reshape(-1, self.samples_per_pixel, 2))
        while len(self._pixels) > MOST_PIXELS:
            self._halve()

    def data(self) -> list[int]:
        """Give least and greatest sample of each pixel in turn, over both channels, of 8 bits."""
        pixels = self._pixels
        if len(self._rest):
            pixels = np.vstack([pixels, [[self._rest.min(), self._rest.max()]]])
        scaled = np.clip(np.rint(pixels * _FULL_SCALE), -_FULL_SCALE - 1, _FULL_SCALE)
        return [int(value) for value in scaled.reshape(-1)]

    def _append(self, pieces: NDArray[np.float32]) -> None:
        found = np.stack([pieces.min(axis=(1, 2)), pieces.max(axis=(1, 2))], axis=1)
        self._pixels = np.concatenate([self._pixels, found])

    def _halve(self) -> None:
        """Let a pixel stand for twice as many samples; what is over goes back to the rest."""
        if len(self._pixels) % 2:
            last = np.full((self.samples_per_pixel, 2), self._pixels[-1, 0])
            last[0] = self._pixels[-1]  # its least and greatest are all that matters of it
            self._rest = np.concatenate([last, self._rest])
            self._pixels = self._pixels[:-1]
        pairs = self._pixels.reshape(-1, 2, 2)
        self._pixels = np.stack([pairs[:, :, 0].min(axis=1), pairs[:, :, 1].max(axis=1)], axis=1)
        self.samples_per_pixel *= 2
