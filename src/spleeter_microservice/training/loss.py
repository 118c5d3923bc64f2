"""The loss of a training, by official Spleeter's formulas (``spleeter/model/__init__.py``)."""

from __future__ import annotations

import torch

from spleeter_microservice.training.configuration import Loss


def stem_losses(estimates: torch.Tensor, references: torch.Tensor, kind: Loss) -> torch.Tensor:
    """Compute the loss of each stem; the training minimises their sum.

    ``L1_mask`` is the mean absolute difference; ``weighted_L1_mask`` weights each segment by the mean
    of its reference.

    Args:
        estimates: magnitudes, shape (stems, segments, 2, frames, bins).
        references: magnitudes of the same shape.
        kind: formula to use.

    Returns:
        Losses, shape (stems,).
    """
    inside = (2, 3, 4)  # axes of one segment
    difference = (estimates - references).abs().mean(dim=inside)
    if kind == "weighted_L1_mask":
        difference = difference * references.mean(dim=inside)
    return difference.mean(dim=1)
