"""Global distortion ratios, from sums that are added up piece by piece."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spleeter_microservice.arrays import Waveform

LIMIT = 150.0
"""SdrScores are kept within ±150 dB: what lies beyond is the rounding of the samples."""

# So few samples stay in cache, and are not worth BLAS's threads, for which the networks have use.
_CHUNK = 4096


@dataclass(frozen=True)
class SdrScores:
    """How well an estimate ŝ equals a true stem s, in dB.

    Attributes:
        sdr: global signal-to-distortion ratio, 10·log10(Σs² / Σ(s − ŝ)²), over both channels.
        si_sdr: the same after scaling s to fit ŝ best, k = Σsŝ / Σs²: 10·log10(Σ(ks)² / Σ(ks − ŝ)²),
            one k for both channels, means not removed (Le Roux et al., "SDR – half-baked or well
            done?", ICASSP 2019).
    """

    sdr: float
    si_sdr: float


class SdrMeter:
    """Adds up what the ratios are made of."""

    def __init__(self) -> None:
        self._true = self._estimate = self._product = self._error = 0.0

    def add(self, true: Waveform, estimate: Waveform) -> None:
        """Take in a piece; both have the same shape."""
        for start in range(0, true.shape[-1], _CHUNK):
            s, e = (x[..., start : start + _CHUNK].astype(np.float64).ravel() for x in (true, estimate))
            self._true += float(s @ s)
            self._estimate += float(e @ e)
            self._product += float(s @ e)
            np.subtract(s, e, out=e)
            self._error += float(e @ e)

    def result(self) -> SdrScores | None:
        """Give the ratios, or None when the true stem is silent, which leaves them undefined."""
        if not self._true:
            return None
        fitted = self._product**2 / self._true
        return SdrScores(
            sdr=decibel(self._true, self._error),
            si_sdr=decibel(fitted, max(0.0, self._estimate - fitted)),
        )


def decibel(signal: float, distortion: float) -> float:
    """Express a ratio of energies in dB, within ±``LIMIT``; without a signal it is −``LIMIT``."""
    if signal <= 0:
        return -LIMIT
    if distortion <= 0:
        return LIMIT
    return max(-LIMIT, min(LIMIT, 10 * (math.log10(signal) - math.log10(distortion))))
