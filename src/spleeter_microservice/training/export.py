"""Export of a trained model as the service reads it: a configuration and a TensorFlow checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import DiskFullError
from spleeter_microservice.files import replace_atomically
from spleeter_microservice.models.tensorflow.checkpoint_writer import remove_checkpoint, write_checkpoint

CONFIGURATION = "config.json"
RECORD = "training.json"


def export_model(
    folder: Path,
    step: int,
    arrays: Mapping[str, Array],
    configuration: Mapping[str, Any],
    record: Mapping[str, Any],
) -> Path:
    """Replace the model of an earlier step; a reader finds either the old or the new one.

    Args:
        folder: existing folder of the model.
        step: number of steps that are done.
        arrays: the weights, by TensorFlow's names and in its layout.
        configuration: the configuration as read; ``model_dir`` is replaced by the file's own folder.
        record: arguments, losses, commit and data hashes.

    Returns:
        The configuration file, to be passed as ``-p``.

    Raises:
        DiskFullError: if the folder cannot be written.
    """
    name = f"model-{step}"
    contents: dict[str, NDArray[np.generic]] = {**arrays, "global_step": np.array(step, np.int64)}
    try:
        write_checkpoint(folder, name, contents)
        for index in folder.glob("model-*.index"):
            if index.stem != name:
                remove_checkpoint(folder, index.stem)
        write_json(folder / RECORD, record)
        write_json(folder / CONFIGURATION, {**configuration, "model_dir": "."})
    except OSError as error:
        raise DiskFullError(f"Cannot write the model to {folder}: {error.strerror}.") from error
    return folder / CONFIGURATION


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file atomically.

    Raises:
        OSError: if the file cannot be written.
    """
    with replace_atomically(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
