"""Measurements of stems while they are written: levels, signs of failure, and an estimate of the quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spleeter_microservice.arrays import Waveform

QUIET = -35.0
"""Level in dB relative to full scale, below which a song is separated worse, and no quality is estimated."""
SILENCE = -80.0
"""Level in dB relative to full scale, below which a waveform counts as silent."""
SILENCE_IN_QUIET = -60.0
"""Level in dB relative to the mix, below which a stem of a quiet mix counts as silent."""
MIX_COPY = -40.0
"""Level in dB relative to the mix: a stem whose difference from the mix is below it is a copy."""
FAIR, GOOD = 4.0, 8.0
"""Estimated SDR in dB from which on a stem counts as fair, and as good."""
_FIT = (1.7, 0.64)
"""Offset and slope of the line from the expected ratio of energies to the SDR, in dB (decision 22)."""
MARGIN = -40.0
"""Level in dB relative to the mix: the largest error that the sum of the stems may have."""
MWF_MARGIN = -15.0
"""The same for a multichannel Wiener filter, whose stems do not quite sum to the mix."""


@dataclass(frozen=True)
class StemMeasurements:
    """Measurements of one stem, or of a mix of stems, over both channels.

    Attributes:
        level: root mean square, in dB relative to full scale; None for digital silence.
        peak: largest absolute sample, 1 being full scale.
        beyond_full_scale: number of samples whose absolute value exceeds 1.
        energy_share: the stem's energy divided by the sum of all stems' energies.
        correlation: with the mix, −1 to 1.
        anomaly: what suggests that the separation failed, or None.
        estimated_sdr: estimate of the SDR in dB, from how sure the networks are; None if there is none,
            because the stem has an anomaly, the song is quiet, or this is a mix.
    """

    level: float | None
    peak: float
    beyond_full_scale: int
    energy_share: float
    correlation: float
    anomaly: str | None
    estimated_sdr: float | None

    @property
    def estimated_quality(self) -> str | None:
        """The estimated SDR in words: low, fair or good."""
        if self.estimated_sdr is None:
            return None
        return "low" if self.estimated_sdr < FAIR else "fair" if self.estimated_sdr < GOOD else "good"


@dataclass(frozen=True)
class Measurements:
    """Measurements of a song's separation.

    Attributes:
        stems: measurements of each stem, in the model's order.
        level: level of the mix, in dB relative to full scale; None for digital silence.
        residual: energy of the mix minus the sum of the stems, in dB relative to the mix; None
            if it, or the mix, is digital silence.
        expected_residual: the part of it that the model leaves out by design, which lies above its highest
            frequency, in dB relative to the mix; None if it separates everything.
        anomaly: what suggests that the separation failed as a whole, or None.
    """

    stems: Sequence[StemMeasurements]
    level: float | None
    residual: float | None
    expected_residual: float | None
    anomaly: str | None


class Meter:
    """The measurements of a song, added up block by block.

    Args:
        stems: number of stems.
        margin: largest error that the sum of the stems may have, in dB relative to the mix.
        mixes: number of mixes of the stems.
    """

    def __init__(self, stems: int, margin: float = MARGIN, mixes: int = 0) -> None:
        self._margin = 10 ** (margin / 10)
        self._stems = stems
        self._samples = 0
        self._energy, self._with_mix, self._with_covered, self._peak = np.zeros((4, stems + mixes))
        self._beyond = np.zeros(stems + mixes, np.int64)
        self._mix = self._covered = self._residual = self._expected = self._missed = 0.0
        self._estimates = np.zeros((stems, 2))

    def add(
        self,
        mix: Waveform,
        stems: Sequence[Waveform],
        covered: Waveform,
        expected: Sequence[tuple[float, float]],
        mixes: Sequence[Waveform] = (),
    ) -> None:
        """Add a block.

        Args:
            mix: samples of the song, of any shape.
            stems: samples of each stem, each of the mix's shape.
            covered: samples that the stems should add up to, of the mix's shape.
            expected: expected energies of each stem and of its error, in any unit.
            mixes: samples of each mix of the stems.
        """
        total = sum(stems[1:], stems[0])
        self._mix += _energy(mix)
        self._covered += _energy(covered)
        self._residual += _energy(mix - total)
        self._missed += _energy(covered - total)
        if covered is not mix:
            self._expected += _energy(mix - covered)
        self._samples += mix.size
        self._estimates += expected
        for i, stem in enumerate([*stems, *mixes]):
            peak = max(float(stem.max(initial=0)), -float(stem.min(initial=0)))
            self._peak[i] = max(self._peak[i], peak)
            if peak > 1:
                self._beyond[i] += np.count_nonzero(np.abs(stem) > 1)
            self._energy[i] += _energy(stem)
            self._with_mix[i] += _dot(stem, mix)
            self._with_covered[i] += _dot(stem, covered)

    def result(self) -> Measurements:
        """Return the measurements of everything that was added."""
        adds_up = self._missed <= self._mix * self._margin  # false for NaN
        anomaly = None if adds_up else "the stems do not sum to the mix"
        residual, expected = (_decibel(part, self._mix) for part in (self._residual, self._expected))
        stems = [self._output(i) for i in range(self._stems)]
        return Measurements(stems, self._level(self._mix), residual, expected, anomaly)

    def mixes(self) -> list[StemMeasurements]:
        """Return the measurements of each mix of the stems."""
        return [self._output(i) for i in range(self._stems, len(self._energy))]

    def _output(self, i: int) -> StemMeasurements:
        norm = np.sqrt(self._energy[i] * self._mix)
        anomaly = self._anomaly_of(i)
        every = self._energy[: self._stems].sum()
        return StemMeasurements(
            level=self._level(self._energy[i]),
            peak=float(self._peak[i]),
            beyond_full_scale=int(self._beyond[i]),
            energy_share=float(self._energy[i] / every) if every else 0.0,
            correlation=float(self._with_mix[i] / norm) if norm else 0.0,
            anomaly=anomaly,
            estimated_sdr=None if anomaly or i >= self._stems else self._estimated_sdr(i),
        )

    def _estimated_sdr(self, i: int) -> float | None:
        ratio, level = _decibel(*self._estimates[i]), self._level(self._mix)
        if ratio is None or level is None or level < QUIET:
            return None
        offset, slope = _FIT
        return round(offset + slope * ratio, 1)

    def _anomaly_of(self, i: int) -> str | None:
        if not np.isfinite(self._energy[i]):
            return "the stem has samples that are not finite numbers"
        silence = self._samples * 10 ** (SILENCE / 10)
        if self._mix < silence or i >= self._stems:
            return None
        for whole, product in ((self._mix, self._with_mix[i]), (self._covered, self._with_covered[i])):
            if whole - 2 * product + self._energy[i] < whole * 10 ** (MIX_COPY / 10):
                return "the stem equals the mix"
        if self._energy[i] < min(silence, self._mix * 10 ** (SILENCE_IN_QUIET / 10)):
            return "the stem is silent while the mix is not"
        return None

    def _level(self, energy: float) -> float | None:
        return _decibel(energy, self._samples)


def _energy(samples: Waveform) -> float:
    return _dot(samples, samples)


def _dot(a: Waveform, b: Waveform) -> float:
    # By rows: a slice of a longer waveform is contiguous along its last axis only.
    return float(sum(np.dot(x, y) for x, y in zip(np.atleast_2d(a), np.atleast_2d(b), strict=True)))


def _decibel(part: float, whole: float) -> float | None:
    return round(float(10 * np.log10(part / whole)), 2) + 0.0 if part > 0 and whole else None
