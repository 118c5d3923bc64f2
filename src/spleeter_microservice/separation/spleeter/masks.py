"""From the networks' outputs to one mask per stem; the formulas are official Spleeter's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import MaskExtension, UNetArchitecture

Extension = MaskExtension | Literal["full"]

_EPSILON = np.float32(1e-10)


def estimates(architecture: UNetArchitecture, outputs: Sequence[Array], magnitude: Array) -> list[Array]:
    """Give each stem's magnitude spectrogram.

    Args:
        architecture: whether the outputs are estimates already, logits of a softmax, or masks.
        outputs: of the networks, one per stem, or one array of all stems' masks; they are overwritten.
        magnitude: of the mix, of the outputs' shape.
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


def ratio_masks(spectrograms: Sequence[Array]) -> list[Array]:
    """Share out each bin by the stems' energies; the masks sum to one.

    Args:
        spectrograms: magnitudes, one per stem, of one shape; they are overwritten.
    """
    for spectrogram in spectrograms:
        np.multiply(spectrogram, spectrogram, out=spectrogram)
    total = _sum(spectrograms)
    total += _EPSILON
    for energy in spectrograms:
        energy += _EPSILON / np.float32(len(spectrograms))
        energy /= total
    return list(spectrograms)


def extended(mask: Array, bins: int, extension: Extension) -> Array:
    """Continue a mask above the networks' last bin.

    Args:
        mask: shape (..., bins seen by the networks).
        bins: how many there are to be.
        extension: ``zeros`` and ``average`` as in Spleeter's configuration files; ``full``
            continues each frame by the mean of the mask's upper quarter, the bins nearest to
            those that the networks do not see.

    Returns:
        shape (..., bins).
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
