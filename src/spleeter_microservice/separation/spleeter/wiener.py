"""The multichannel Wiener filter of official Spleeter's ``--mwf``.

It does one iteration of expectation-maximisation like Norbert's ``wiener`` (Nugraha, Liutkus and
Vincent, "Multichannel music separation with deep neural networks", EUSIPCO 2016). Each stem is
modelled by its power in each bin of each frame, and by one spatial covariance per bin for the whole
song. A first pass over the song therefore computes the covariances (``Covariances``), and a second
one applies them (``WienerFilter``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Array, Spectrum

_EPSILON = float(np.finfo(np.float32).eps)
# Norbert scales the mix to at most this magnitude, so that its epsilons have the intended effect.
_MAX_MAGNITUDE = 10.0
_CHUNK = 64  # frames filtered at a time


@dataclass(frozen=True)
class Covariances:
    """Sums over frames of a song that determine each stem's spatial covariance.

    Attributes:
        outer: products of both channels, shape (stems, bins, 2, 2).
        power: power of each stem, shape (stems, bins).
        largest: largest magnitude of the mix.
    """

    outer: NDArray[np.complex128]
    power: NDArray[np.float64]
    largest: float

    @classmethod
    def of(cls, spectrum: Spectrum, estimates: Sequence[Array]) -> Covariances:
        """Compute the sums over a segment of the song.

        Args:
            spectrum: spectrum of the mix, shape (2, frames, at least the networks' bins).
            estimates: each stem's magnitudes, shape (2, at least as many frames, bins).
        """
        stems = first_estimates(spectrum[..., : estimates[0].shape[2]], estimates)
        outer = np.stack([np.einsum("afk,bfk->kab", stem, stem.conj()) for stem in stems])
        power = np.trace(outer, axis1=2, axis2=3).real / 2
        return cls(
            outer.astype(np.complex128), power.astype(np.float64), float(np.abs(spectrum).max(initial=0.0))
        )

    def __add__(self, other: Covariances) -> Covariances:
        largest = max(self.largest, other.largest)
        return Covariances(self.outer + other.outer, self.power + other.power, largest)

    def filter(self, gain: float = 1.0) -> WienerFilter:
        """Return the filter for all segments that were added, which are filtered as if raised by a gain."""
        scale = gain / max(1.0, gain * self.largest / _MAX_MAGNITUDE)
        weight = _EPSILON + self.power * scale**2
        return WienerFilter(self.outer * scale**2 / weight[..., None, None], scale)


class WienerFilter:
    """The filter for one song.

    Args:
        covariances: one spatial covariance per stem and bin, shape (stems, bins, 2, 2).
        scale: factor for the mix, applied before any epsilon is added.
    """

    def __init__(self, covariances: NDArray[np.complex128], scale: float) -> None:
        self._covariances = covariances.astype(np.complex64)
        self._scale = np.float32(scale)

    def apply(self, spectrum: Spectrum, estimates: Sequence[Array]) -> list[Spectrum]:
        """Separate a segment.

        Args:
            spectrum: spectrum of the mix, shape (2, frames, at least the networks' bins).
            estimates: each stem's magnitudes, shape (2, at least as many frames, bins).

        Returns:
            Each stem's spectrum, shape (2, frames, bins).
        """
        frames, bins = spectrum.shape[1], self._covariances.shape[1]
        stems = [np.empty((2, frames, bins), np.complex64) for _ in estimates]
        for start in range(0, frames, _CHUNK):
            chunk = slice(start, min(start + _CHUNK, frames))
            parts = self._filtered(spectrum[:, chunk, :bins], [estimate[:, chunk] for estimate in estimates])
            for stem, part in zip(stems, parts, strict=True):
                stem[:, chunk] = part
        return stems

    def _filtered(self, spectrum: Spectrum, estimates: Sequence[Array]) -> Iterator[Spectrum]:
        mix = spectrum * self._scale
        powers = [
            (np.square(np.abs(y)).sum(axis=0) * np.float32(0.5)) for y in first_estimates(mix, estimates)
        ]
        whitened = self._whiten(mix, powers)
        for power, covariance in zip(powers, self._covariances, strict=True):
            yield np.einsum("kab,bfk->afk", covariance, whitened, optimize=True) * (power / self._scale)

    def _whiten(self, mix: Spectrum, powers: Sequence[Array]) -> Spectrum:
        """Multiply by the inverse of the mix's modelled covariance, a 2 × 2 matrix per bin."""
        c = [[np.zeros(mix.shape[1:], np.complex64) for _ in range(2)] for _ in range(2)]
        for power, covariance in zip(powers, self._covariances, strict=True):
            for a in range(2):
                for b in range(2):
                    c[a][b] += power * covariance[:, a, b]
        for a in range(2):
            c[a][a] += np.float32(np.sqrt(_EPSILON))
        determinant = c[0][0] * c[1][1] - c[0][1] * c[1][0]
        return np.stack(
            [
                (c[1][1] * mix[0] - c[0][1] * mix[1]) / determinant,
                (c[0][0] * mix[1] - c[1][0] * mix[0]) / determinant,
            ]
        )


def first_estimates(mix: Spectrum, estimates: Sequence[Array]) -> Iterator[Spectrum]:
    """Mask the mix in proportion to the stems' magnitudes (not their energies).

    Args:
        mix: spectrum of shape (2, frames, bins).
        estimates: each stem's magnitudes, shape (2, at least as many frames, bins).

    Yields:
        Each stem's spectrum, shape (2, frames, bins).
    """
    magnitudes = [estimate[:, : mix.shape[1]] for estimate in estimates]
    total = np.add.reduce(magnitudes) + np.float32(_EPSILON)
    return (mix * (magnitude / total) for magnitude in magnitudes)
