"""Global signal-to-distortion ratios, from sums that are accumulated block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spleeter_microservice.arrays import Waveform

LIMIT = 150.0
"""Largest magnitude of a score in dB; ratios beyond it measure only the rounding of samples."""

# Few enough samples to stay in cache, and too few to start BLAS's threads; the networks need the cores.
_CHUNK = 4096


@dataclass(frozen=True)
class SdrScores:
    """Ratios, in dB, that measure how well an estimate ŝ matches a reference stem s.

    Attributes:
        sdr: global signal-to-distortion ratio, 10·log10(Σs² / Σ(s − ŝ)²), over both channels.
        si_sdr: the same after s is scaled to fit ŝ best, k = Σsŝ / Σs²: 10·log10(Σ(ks)² / Σ(ks − ŝ)²),
            with one k for both channels and without removing means (Le Roux et al., "SDR –
            half-baked or well done?", ICASSP 2019).
    """

    sdr: float
    si_sdr: float


class SdrMeter:
    """The sums that determine the scores of one estimate."""

    def __init__(self) -> None:
        self._reference = self._estimate = self._product = self._error = 0.0

    def add(self, reference: Waveform, estimate: Waveform) -> None:
        """Add the next samples of both, shape (2, samples)."""
        for start in range(0, reference.shape[-1], _CHUNK):
            s, e = (x[..., start : start + _CHUNK].astype(np.float64).ravel() for x in (reference, estimate))
            self._reference += float(s @ s)
            self._estimate += float(e @ e)
            self._product += float(s @ e)
            np.subtract(s, e, out=e)
            self._error += float(e @ e)

    def result(self) -> SdrScores | None:
        """Return the scores, or None if the reference is silent, which leaves them undefined."""
        sdr = self.sdr()
        if sdr is None:
            return None
        fitted = self._product**2 / self._reference
        return SdrScores(sdr, si_sdr=decibel(fitted, max(0.0, self._estimate - fitted)))

    def sdr(self) -> float | None:
        """Return the SDR alone, or None if the reference is silent."""
        return decibel(self._reference, self._error) if self._reference else None


def decibel(signal: float, distortion: float) -> float:
    """Convert a ratio of energies to dB, within ±``LIMIT``; without a signal it is −``LIMIT``."""
    if signal <= 0:
        return -LIMIT
    if distortion <= 0:
        return LIMIT
    return max(-LIMIT, min(LIMIT, 10 * (math.log10(signal) - math.log10(distortion))))
