"""Saved states of a training; the two newest are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from spleeter_microservice.errors import DiskFullError, TrainingStateError
from spleeter_microservice.files import replace_atomically

STATES = "training"
"""Name of the directory, in that of the model, of states to resume from."""

_KEPT = 2  # as in official Spleeter


@dataclass(frozen=True)
class TrainingState:
    """The state after a step. The batches that follow depend only on the step.

    Attributes:
        step: number of steps that are done.
        variables: variables of the networks, by TensorFlow's names.
        optimizer: state dictionary of the optimizer.
        record: arguments, losses, commit and data hashes, in JSON values.
    """

    step: int
    variables: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    record: dict[str, Any] = field(default_factory=dict)


def save_state(folder: Path, state: TrainingState) -> None:
    """Write a state atomically, and remove all but the two newest.

    Raises:
        DiskFullError: if the state cannot be written; earlier ones are kept.
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
    except (OSError, RuntimeError) as error:  # PyTorch raises the latter for a full disk
        raise DiskFullError(f"Cannot write the state of the training to {path}: {error}.") from error
    for older in _states(folder)[:-_KEPT]:
        older.unlink(missing_ok=True)


def load_state(folder: Path) -> TrainingState | None:
    """Read the newest state; return None if the folder has none.

    Raises:
        TrainingStateError: if the state cannot be read.
    """
    states = _states(folder)
    if not states:
        return None
    try:
        return TrainingState(**torch.load(states[-1], map_location="cpu", weights_only=True))
    except Exception as error:  # PyTorch's errors have no narrower base class
        raise TrainingStateError(
            f"The state {states[-1]} cannot be read: {error}. Remove it to resume from the one before it."
        ) from error


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"step-{'[0-9]' * 9}.pt"))
