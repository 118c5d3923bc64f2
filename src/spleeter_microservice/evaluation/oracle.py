"""What the best possible ratio masks would give: the bound of the method, not of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Spectrum, Waveform
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
    """Judges masks |s|² / Σ|sᵢ|², computed from the true stems and applied to the mixture.

    The sum goes over all stems of the partition and what they leave of the mixture; for a stem
    that overlaps others, over itself and the mixture without it. All bins are used.

    Args:
        overlaps: for each stem, whether it is no member of the partition.
    """

    def __init__(self, overlaps: Sequence[bool]) -> None:
        self._overlaps = overlaps
        self._distortions = [SdrMeter() for _ in overlaps]
        self._syntheses = [Synthesis(_TRANSFORM) for _ in overlaps]
        self._window = hann(_LENGTH)
        # The mixture first, then the stems; a frame of zeros before the signal, as the models have.
        self._buffer = np.zeros((1 + len(overlaps), 2, _SPAN + _OVERLAP), np.float32)
        self._filled = self._silence = _LENGTH

    def add(self, mix: Waveform, references: Sequence[Waveform]) -> None:
        """Take in a piece: the mixture and the true stems, each of shape (2, samples)."""
        piece, start = np.stack([mix, *references]), 0
        while start < piece.shape[2]:
            taken = min(piece.shape[2] - start, self._buffer.shape[2] - self._filled)
            self._buffer[..., self._filled : self._filled + taken] = piece[..., start : start + taken]
            self._filled += taken
            start += taken
            if self._filled == self._buffer.shape[2]:
                self._judge(_SPAN)

    def result(self) -> list[SdrScores | None]:
        """Give the ratios of each stem; nothing can be added after this."""
        while self._filled > 0:
            self._buffer[..., self._filled :] = 0
            self._judge(min(_SPAN, self._filled))
        return [distortion.result() for distortion in self._distortions]

    def _judge(self, samples: int) -> None:
        """Transform the first frames of the buffer, score so many samples, and move on by a span."""
        spectra = self._transform()
        for i, mask in enumerate(self._masks(spectra)):
            estimate = self._syntheses[i].add(spectra[0], mask, samples)
            true = self._buffer[1 + i, :, self._silence : samples]
            self._distortions[i].add(true, estimate[:, self._silence :])
        self._silence = 0
        self._buffer[..., :_OVERLAP] = self._buffer[..., _SPAN:].copy()
        self._filled = max(0, self._filled - _SPAN)

    def _transform(self) -> NDArray[np.complex64]:
        framed = np.lib.stride_tricks.sliding_window_view(self._buffer, _LENGTH, axis=2)[:, :, ::_STEP]
        spectra = np.empty((*framed.shape[:3], _LENGTH // 2 + 1), np.complex64)
        for waveform, spectrum in zip(framed, spectra, strict=True):
            spectrum[...] = np.fft.rfft(waveform * self._window)
        return spectra

    def _masks(self, spectra: NDArray[np.complex64]) -> list[NDArray[np.float32]]:
        partition = [i for i, overlaps in enumerate(self._overlaps) if not overlaps]
        energies = [_energy(spectrum) for spectrum in spectra[1:]]
        rest = spectra[0] - sum((spectra[1 + i] for i in partition), np.complex64(0))
        total = sum((energies[i] for i in partition), _energy(rest))
        masks = []
        for i, energy in enumerate(energies):
            whole = total if i in partition else energy + _energy(spectra[0] - spectra[1 + i])
            masks.append(energy / (whole + _EPSILON))
        return masks


def _energy(spectrum: Spectrum) -> NDArray[np.float32]:
    energy: NDArray[np.float32] = spectrum.real * spectrum.real
    energy += spectrum.imag * spectrum.imag
    return energy
