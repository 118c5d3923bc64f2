"""Keeps what a training needs to go on, whole files only, the newest two of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from spleeter_microservice.errors import DiskFullError, TrainingStateError
from spleeter_microservice.files import replace_atomically

KEPT = 2
"""As in official Spleeter."""

_NAME = re.compile(r"step-(\d{9})\.pt")


@dataclass(frozen=True)
class TrainingState:
    """Everything after a step; batches depend on the step alone.

    Attributes:
        step: how many steps are done.
        variables: of the networks, by TensorFlow's names.
        optimizer: as PyTorch keeps it.
        record: arguments, losses, commit and data hashes, in values that JSON has.
    """

    step: int
    variables: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    record: dict[str, Any] = field(default_factory=dict)


def save_state(folder: Path, state: TrainingState) -> None:
    """Write a state under a temporary name, then give it its own, and remove older ones.

    Raises:
        DiskFullError: when the folder refuses it; those before are still there then.
    """
    path = folder / f"step-{state.step:09}.pt"
    content = {
        "step": state.step,
        "variables": {name: tensor.detach().cpu() for name, tensor in state.variables.items()},
        "optimizer": state.optimizer,
        "record": state.record,
    }
    try:
        with replace_atomically(path, flush=True) as temporary, temporary.open("wb") as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:  # PyTorch words a full disk as the latter
        raise DiskFullError(f"The training's state cannot be written to {path}: {error}.") from error
    for older in _states(folder)[:-KEPT]:
        older.unlink(missing_ok=True)


def load_state(folder: Path) -> TrainingState | None:
    """Read the newest state, or give None when there is none.

    Raises:
        TrainingStateError: when it cannot be read.
    """
    states = _states(folder)
    if not states:
        return None
    try:
        return TrainingState(**torch.load(states[-1], map_location="cpu", weights_only=True))
    except Exception as error:  # PyTorch's errors share no other base
        raise TrainingStateError(
            f"The training's state {states[-1]} cannot be read: {error}. Remove it to go on from the one "
            "before it."
        ) from error


def _states(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name))
