"""Masks of the stems, from the networks' outputs; the formulas are official Spleeter's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import MaskExtension, UNetArchitecture

Extension = MaskExtension | Literal["full"]

_EPSILON = np.float32(1e-10)
_APART = 4  # frames: the windows of four successive ones overlap, so one of them says enough


def stem_magnitudes(
    architecture: UNetArchitecture, outputs: Sequence[Array], magnitude: Array
) -> list[Array]:
    """Return each stem's magnitude spectrogram, shape (2, frames, bins).

    Args:
        architecture: determines whether the outputs are magnitudes (``unet``), logits of a softmax
            (``softmax_unet``) or power masks (``cascade``).
        outputs: the networks' outputs, which are overwritten: one array per stem, or for a cascade
            a single array of shape (stems, 2, frames, bins).
        magnitude: the magnitude spectrogram of the mix, shape (2, frames, bins).
    """
    if architecture.kind == "cascade":
        np.sqrt(outputs[0], out=outputs[0])
        np.multiply(outputs[0], magnitude, out=outputs[0])
        return list(outputs[0])
    if architecture.kind == "unet":
        return list(outputs)
    highest = outputs[0].copy()
    for logits in outputs[1:]:
        np.maximum(highest, logits, out=highest)
    for logits in outputs:
        logits -= highest
        np.exp(logits, out=logits)
    total = _sum(outputs)
    factor = np.divide(magnitude, total, out=total)
    for exponential in outputs:
        exponential *= factor
    return list(outputs)


def expected_energies(
    spectrograms: Sequence[Array], magnitude: Array, exponent: float = 2
) -> list[tuple[float, float]]:
    """Return the expected energies of each stem and of its error, in any unit.

    If a stem has the share m of a bin's power P, masking by m leaves an error of m·(1 − m)·P in it on
    average, as with every Wiener filter. Only every fourth frame counts, because frames overlap.

    Args:
        spectrograms: magnitudes of the stems, each of shape (2, frames, bins).
        magnitude: magnitude spectrogram of the mix, of the same shape.
        exponent: power of the stems' magnitudes that is their energy; 8/3 after ``soften``.
    """
    energies = [spectrogram[:, ::_APART] ** exponent for spectrogram in spectrograms]
    total = _sum(energies) + _EPSILON
    power = np.square(magnitude[:, ::_APART])
    found = []
    for energy in energies:
        energy /= total
        expected = energy * power
        found.append((float(expected.sum()), float(np.vdot(expected, 1 - energy))))
    return found


def ratio_masks(spectrograms: Sequence[Array]) -> list[Array]:
    """Compute ratio masks from the stems' energies. In each bin they sum to 1.

    Args:
        spectrograms: magnitudes of the stems, all of one shape; they are overwritten.
    """
    for spectrogram in spectrograms:
        np.multiply(spectrogram, spectrogram, out=spectrogram)
    total = _sum(spectrograms)
    total += _EPSILON
    for energy in spectrograms:
        energy += _EPSILON / np.float32(len(spectrograms))
        energy /= total
    return list(spectrograms)


def soften(spectrograms: Sequence[Array]) -> None:
    """Bring the stems' magnitudes nearer to each other: the networks are surer than they should be.

    Masks of the results have the exponent 1.5, not Spleeter's 2.

    Args:
        spectrograms: magnitudes of the stems, which are overwritten.
    """
    for spectrogram in spectrograms:
        np.sqrt(spectrogram, out=spectrogram)
        spectrogram *= np.sqrt(spectrogram)


def extend(mask: Array, bins: int, extension: Extension) -> Array:
    """Continue a mask above the networks' last bin.

    Args:
        mask: shape (..., bins of the networks).
        bins: number of bins of the result.
        extension: ``zeros`` and ``average`` mean what they do in Spleeter's configuration files;
            ``full`` continues each frame by the mean of the mask's upper quarter, because these
            bins are nearest to the missing ones.

    Returns:
        A mask of shape (..., bins). For ``zeros`` it is the unchanged mask; ``Synthesis`` takes
        missing bins as zero.
    """
    if extension == "zeros" or bins == mask.shape[-1]:
        return mask
    whole = np.empty((*mask.shape[:-1], bins), np.float32)
    whole[..., : mask.shape[-1]] = mask
    nearest = mask[..., -mask.shape[-1] // 4 :] if extension == "full" else mask
    whole[..., mask.shape[-1] :] = nearest.mean(axis=-1, keepdims=True)
    return whole


def _sum(arrays: Sequence[Array]) -> Array:
    total = arrays[0] + arrays[1]
    for array in arrays[2:]:
        total += array
    return total
