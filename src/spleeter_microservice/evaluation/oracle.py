"""Scores of the best possible ratio masks, an upper bound for any model that computes masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spleeter_microservice.arrays import Array, Spectrum, Waveform
from spleeter_microservice.evaluation.sdr import SdrMeter, SdrScores
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.spectrogram import Analysis, Segment, Synthesis

_TRANSFORM = UNetArchitecture(("target", "rest"), segment_frames=64)
_EPSILON = np.float32(1e-10)


class OracleMasks:
    """Masks |s|² / Σ|sᵢ|², computed from the reference stems and applied to the mixture.

    The sum includes all stems that do not overlap and the rest of the mixture. For a stem that
    overlaps others, it includes the stem and the mixture without it. All bins are masked.

    Args:
        overlaps: for each stem, whether it overlaps others.
    """

    def __init__(self, overlaps: Sequence[bool]) -> None:
        self._overlaps = overlaps
        self._meters = [SdrMeter() for _ in overlaps]
        self._syntheses = [Synthesis(_TRANSFORM) for _ in overlaps]
        self._analyses = [Analysis(_TRANSFORM, full_band=True) for _ in (True, *overlaps)]
        self._silence = _TRANSFORM.n_fft  # the frame of zeros before the signal

    def add(self, mix: Waveform, references: Sequence[Waveform]) -> None:
        """Add the next samples of the mixture and of the reference stems, each (2, samples)."""
        signals = zip(self._analyses, (mix, *references), strict=True)
        for segments in zip(*(analysis.push(signal.T) for analysis, signal in signals), strict=True):
            self._score(*segments)

    def result(self) -> list[SdrScores | None]:
        """Return the scores of each stem; nothing can be added after this."""
        for segments in zip(*(analysis.finish() for analysis in self._analyses), strict=True):
            self._score(*segments)
        return [meter.result() for meter in self._meters]

    def _score(self, mix: Segment, *references: Segment) -> None:
        masks = self._masks([segment.spectrum for segment in (mix, *references)])
        for meter, synthesis, mask, reference in zip(
            self._meters, self._syntheses, masks, references, strict=True
        ):
            estimate = synthesis.add(mix.spectrum, mask, mix.mix.shape[1])
            meter.add(reference.mix[:, self._silence :], estimate[:, self._silence :])
        self._silence = 0

    def _masks(self, spectra: Sequence[Spectrum]) -> list[Array]:
        partition = [i for i, overlaps in enumerate(self._overlaps) if not overlaps]
        energies = [_energy(spectrum) for spectrum in spectra[1:]]
        rest = spectra[0] - sum((spectra[1 + i] for i in partition), np.complex64(0))
        total = sum((energies[i] for i in partition), _energy(rest))
        masks = []
        for i, energy in enumerate(energies):
            whole = total if i in partition else energy + _energy(spectra[0] - spectra[1 + i])
            masks.append(energy / (whole + _EPSILON))
        return masks


def _energy(spectrum: Spectrum) -> Array:
    energy: Array = spectrum.real * spectrum.real
    energy += spectrum.imag * spectrum.imag
    return energy
