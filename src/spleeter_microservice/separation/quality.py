"""Measures stems while they are written, to tell a separation from a success in name only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spleeter_microservice.arrays import Waveform

SILENCE = -80.0
"""Level in dB relative to full scale, below which a waveform counts as silent."""
MIX_COPY = -40.0
"""Level in dB relative to the mix: a stem that differs from it by less is a copy of it."""
RESIDUAL_MARGIN = -40.0
"""Level in dB relative to the mix, by which the residual may exceed what is expected of it."""
MWF_RESIDUAL_MARGIN = -15.0
"""The same for a multichannel Wiener filter, whose stems do not quite sum to the mix."""


@dataclass(frozen=True)
class StemQuality:
    """What was measured of one stem, over both channels.

    Attributes:
        level: root mean square, in dB relative to full scale; None for digital silence.
        peak: largest absolute sample, 1 being full scale.
        beyond_full_scale: number of samples whose absolute value exceeds 1.
        energy_share: the stem's energy divided by the sum of all stems' energies.
        correlation: with the mix, −1 to 1.
        suspect: why the stem is not to be trusted, or None.
    """

    level: float | None
    peak: float
    beyond_full_scale: int
    energy_share: float
    correlation: float
    suspect: str | None


@dataclass(frozen=True)
class Quality:
    """What was measured of a song's separation.

    Attributes:
        stems: one per instrument.
        level: of the mix, in dB relative to full scale; None for digital silence.
        residual: energy of the mix minus the sum of the stems, in dB relative to the mix; None
            when it, or the mix, is digital silence.
        expected_residual: what of that the model leaves out by design: the energy above its
            last bin, in dB relative to the mix; None when all of the mix is shared out.
        suspect: why the residual is not to be trusted, or None.
    """

    stems: Sequence[StemQuality]
    level: float | None
    residual: float | None
    expected_residual: float | None
    suspect: str | None


class QualityMeter:
    """Adds up sums over a song, piece by piece.

    Args:
        stems: how many.
        leaves_out: whether what lies above the networks' last bin is in no stem.
        margin: by how much the residual may exceed that, in dB relative to the mix.
    """

    def __init__(self, stems: int, leaves_out: bool, margin: float = RESIDUAL_MARGIN) -> None:
        self._leaves_out = leaves_out
        self._margin = 10 ** (margin / 10)
        self._samples = 0
        self._energy = np.zeros(stems)
        self._with_mix = np.zeros(stems)
        self._with_total = np.zeros(stems)
        self._peak = np.zeros(stems)
        self._beyond = np.zeros(stems, np.int64)
        self._mix = 0.0
        self._total = 0.0
        self._residual = 0.0
        self._bands = np.zeros(2)

    def add(self, mix: Waveform, stems: Sequence[Waveform], bands: tuple[float, float]) -> None:
        """Take in a piece.

        Args:
            mix: any shape.
            stems: one per instrument, each of the mix's shape.
            bands: energy of the mix (below, above) the networks' last bin, in any unit.
        """
        total = np.add.reduce(stems)
        residual = mix - total
        self._mix += _dot(mix, mix)
        self._total += _dot(total, total)
        self._residual += _dot(residual, residual)
        self._samples += mix.size
        self._bands += bands
        for i, stem in enumerate(stems):
            peak = max(float(stem.max(initial=0)), -float(stem.min(initial=0)))
            self._peak[i] = max(self._peak[i], peak)
            if peak > 1:
                self._beyond[i] += np.count_nonzero(np.abs(stem) > 1)
            self._energy[i] += _dot(stem, stem)
            self._with_mix[i] += _dot(stem, mix)
            self._with_total[i] += _dot(stem, total)

    def result(self) -> Quality:
        """Judge what was added up."""
        expected = self._bands[1] / max(self._bands.sum(), np.finfo(float).tiny) if self._leaves_out else 0.0
        residual = self._residual / self._mix if self._mix else 0.0
        suspect = None
        if residual > expected * 1.1 + self._margin:
            suspect = "the stems do not sum to the mix"
        stems = [self._stem(i) for i in range(len(self._energy))]
        return Quality(stems, self._level(self._mix), _decibel(residual), _decibel(expected), suspect)

    def _stem(self, i: int) -> StemQuality:
        norm = np.sqrt(self._energy[i] * self._mix)
        return StemQuality(
            level=self._level(self._energy[i]),
            peak=float(self._peak[i]),
            beyond_full_scale=int(self._beyond[i]),
            energy_share=float(self._energy[i] / self._energy.sum()) if self._energy.sum() else 0.0,
            correlation=float(self._with_mix[i] / norm) if norm else 0.0,
            suspect=self._suspicion(i),
        )

    def _suspicion(self, i: int) -> str | None:
        if not np.isfinite(self._energy[i]):
            return "the stem has samples that are not finite numbers"
        if (self._level(self._mix) or -np.inf) < SILENCE:
            return None
        # Below the networks' last bin, the mix is the sum of the stems.
        for whole, product in ((self._mix, self._with_mix[i]), (self._total, self._with_total[i])):
            if whole - 2 * product + self._energy[i] < whole * 10 ** (MIX_COPY / 10):
                return "the stem equals the mix"
        if (self._level(self._energy[i]) or -np.inf) < SILENCE:
            return "the stem is silent while the mix is not"
        return None

    def _level(self, energy: float) -> float | None:
        return _decibel(energy / self._samples) if self._samples else None


def _dot(a: Waveform, b: Waveform) -> float:
    # By rows: a slice of a longer waveform is contiguous along its last axis only.
    return float(sum(np.dot(x, y) for x, y in zip(np.atleast_2d(a), np.atleast_2d(b), strict=True)))


def _decibel(ratio: float) -> float | None:
    return round(float(10 * np.log10(ratio)), 2) if ratio > 0 else None
