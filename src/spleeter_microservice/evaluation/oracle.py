"""Scores of the best possible ratio masks, an upper bound for any model that computes masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spleeter_microservice.arrays import Array, Spectrum, Waveform
from spleeter_microservice.evaluation.sdr import SdrMeter, SdrScores
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.spectrogram import Synthesis, hann

_TRANSFORM = UNetArchitecture(("target", "rest"), n_fft=4096, hop_length=1024)
_LENGTH, _STEP = _TRANSFORM.n_fft, _TRANSFORM.hop_length
_OVERLAP = _LENGTH - _STEP
_FRAMES = 64
_SPAN = _FRAMES * _STEP
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
        self._window = hann(_LENGTH)
        # First the mixture, then the stems; like the models, with a frame of zeros before the signal.
        self._buffer = np.zeros((1 + len(overlaps), 2, _SPAN + _OVERLAP), np.float32)
        self._filled = self._silence = _LENGTH

    def add(self, mix: Waveform, references: Sequence[Waveform]) -> None:
        """Add the next samples of the mixture and of the reference stems, each (2, samples)."""
        block, start = np.stack([mix, *references]), 0
        while start < block.shape[2]:
            taken = min(block.shape[2] - start, self._buffer.shape[2] - self._filled)
            self._buffer[..., self._filled : self._filled + taken] = block[..., start : start + taken]
            self._filled += taken
            start += taken
            if self._filled == self._buffer.shape[2]:
                self._score(_SPAN)

    def result(self) -> list[SdrScores | None]:
        """Return the scores of each stem; nothing can be added after this."""
        while self._filled > 0:
            self._buffer[..., self._filled :] = 0
            self._score(min(_SPAN, self._filled))
        return [meter.result() for meter in self._meters]

    def _score(self, samples: int) -> None:
        """Transform the buffer, score its first samples, and shift it by a span."""
        spectra = self._transform()
        for i, mask in enumerate(self._masks(spectra)):
            estimate = self._syntheses[i].add(spectra[0], mask, samples)
            reference = self._buffer[1 + i, :, self._silence : samples]
            self._meters[i].add(reference, estimate[:, self._silence :])
        self._silence = 0
        self._buffer[..., :_OVERLAP] = self._buffer[..., _SPAN:].copy()
        self._filled = max(0, self._filled - _SPAN)

    def _transform(self) -> Spectrum:
        """Return the spectra of the mixture and the stems, shape (1 + stems, 2, frames, bins)."""
        framed = np.lib.stride_tricks.sliding_window_view(self._buffer, _LENGTH, axis=2)[:, :, ::_STEP]
        spectra = np.empty((*framed.shape[:3], _LENGTH // 2 + 1), np.complex64)
        for waveform, spectrum in zip(framed, spectra, strict=True):
            spectrum[...] = np.fft.rfft(waveform * self._window)
        return spectra

    def _masks(self, spectra: Spectrum) -> list[Array]:
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
