"""What a training makes small; the formulas are official Spleeter's (``spleeter/model/__init__.py``)."""

from __future__ import annotations

import torch

from spleeter_microservice.training.configuration import Loss


def stem_losses(estimates: torch.Tensor, references: torch.Tensor, kind: Loss) -> torch.Tensor:
    """Give each instrument's loss; their sum is the training's.

    ``L1_mask`` is the mean absolute difference; ``weighted_L1_mask`` weights each segment by the mean
    of its true stem.

    Args:
        estimates: shape (stems, segments, 2, frames, bins).
        references: the same.
        kind: of loss.

    Returns:
        shape (stems,).
    """
    inside = (2, 3, 4)
    difference = (estimates - references).abs().mean(dim=inside)
    if kind == "weighted_L1_mask":
        difference = difference * references.mean(dim=inside)
    return difference.mean(dim=1)
