"""Writes a trained model as the service takes it: a configuration beside a checkpoint of TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.errors import DiskFullError
from spleeter_microservice.files import replace_atomically
from spleeter_microservice.models.tensorflow.checkpoint_writer import remove_checkpoint, write_checkpoint

CONFIGURATION = "config.json"
RECORD = "training.json"


def export_model(
    folder: Path,
    step: int,
    arrays: Mapping[str, NDArray[np.float32]],
    configuration: Mapping[str, Any],
    record: Mapping[str, Any],
) -> Path:
    """Write a model, replacing the one of an earlier step; readers see the one or the other.

    Args:
        folder: an existing one.
        step: how many steps were done.
        arrays: the weights, by TensorFlow's names and in its layout.
        configuration: as it was read; ``model_dir`` becomes the configuration's own folder.
        record: arguments, losses, commit and data hashes.

    Returns:
        the configuration file, to be named in ``-p``.

    Raises:
        DiskFullError: when the folder refuses files.
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
        raise DiskFullError(f"The model cannot be written to {folder}: {error.strerror}.") from error
    return folder / CONFIGURATION


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file of JSON under a temporary name, then give it its own.

    Raises:
        OSError: when the folder refuses it.
    """
    with replace_atomically(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
