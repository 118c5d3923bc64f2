"""One call of ``train``: brings configuration, data, weights and folders together, and trains."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.errors import (
    CheckpointError,
    ConfigurationError,
    DiskFullError,
    TrainingStateError,
)
from spleeter_microservice.files import locked
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.training.configuration import TrainingConfiguration
from spleeter_microservice.training.devices import DeviceName, Precision, choose
from spleeter_microservice.training.provenance import digest, program
from spleeter_microservice.training.torch_networks import TorchNetworks, initial_arrays
from spleeter_microservice.training.trainer import Folders, Listener, Trainer
from spleeter_microservice.training.training_data import Progress, TrainingData, find_examples, prepare
from spleeter_microservice.training.training_state import TrainingState, load_state


@dataclass(frozen=True)
class Base:
    """Weights to start from instead of random ones.

    Attributes:
        name: of their model.
        sha256: of them.
        architecture: of their model.
        arrays: by TensorFlow's names.
    """

    name: str
    sha256: str
    architecture: UNetArchitecture
    arrays: Mapping[str, NDArray[np.float32]] = field(repr=False)


@dataclass(frozen=True)
class Request:
    """What is to be done.

    Attributes:
        configuration: of the training.
        data: folder of the songs.
        output: folder that becomes the model's.
        validation: folder of songs to validate with.
        base: to start from; of no meaning for a training that goes on.
    """

    configuration: TrainingConfiguration
    data: Path
    output: Path
    validation: Path | None = None
    base: Base | None = None
    device: DeviceName = "auto"
    precision: Precision = "auto"


def run_training(request: Request, listener: Listener, progress: Progress) -> Path:
    """Train, or go on with the training that the output folder has.

    Args:
        request: what to do.
        listener: is told of steps.
        progress: is told of the preparation, see ``training_data.Progress``.

    Returns:
        the configuration file of the exported model.

    Raises:
        ConfigurationError: when a device is not there, or the output folder is in use.
        CheckpointError: when the weights to start from do not fit.
        TrainingError: when data, state or loss do not allow to go on.
        AudioError: when a song cannot be read, or nothing can be written.
    """
    configuration, folders = request.configuration, Folders(request.output)
    compute = choose(request.device, request.precision)
    start = _start(configuration, request.base)
    examples = find_examples(configuration, request.data, request.validation)
    with _owned(folders):
        state = load_state(folders.states)
        if state:
            _check_same_model(state, configuration.architecture, folders)
        data = prepare(configuration, examples, folders.states / "files.json", compute.workers, progress)
        networks = TorchNetworks(configuration.architecture, start, compute.device)
        record = _record(request, data) | {"device": str(compute.device), "bf16": compute.bf16}
        trainer = Trainer(configuration, data, networks, compute, folders, record, listener)
        if state:
            record["base"] = state.record.get("base")  # this time nothing starts from it
            trainer.resume(state)
        listener.on_start(trainer.step, str(compute.device), compute.bf16, data)
        return trainer.run()


def _start(configuration: TrainingConfiguration, base: Base | None) -> Mapping[str, NDArray[np.float32]]:
    architecture = configuration.architecture
    if base is None:
        return initial_arrays(architecture, configuration.random_seed)
    # Weights know neither the instruments' names nor the length of a segment.
    count = len(base.architecture.stems)
    named = base.architecture.stems if count != len(architecture.stems) else architecture.stems
    same = replace(base.architecture, stems=named, segment_frames=architecture.segment_frames)
    if not architecture.has_networks_of(same):
        raise CheckpointError(
            f"The weights of {base.name} do not fit {configuration.path}: give it {count} instruments, as "
            f"the weights have ({', '.join(base.architecture.stems)}), and their key 'model'."
        )
    return base.arrays


def _check_same_model(state: TrainingState, architecture: UNetArchitecture, folders: Folders) -> None:
    before = json.loads(str(state.record["architecture"]))
    now = json.loads(architecture.to_json())
    changed = [key for key in now if now[key] != before.get(key)]
    if changed:
        raise TrainingStateError(
            f"{folders.model} holds the training of another model: {', '.join(changed)} differ. Name another "
            "output folder, or remove this one."
        )


@contextmanager
def _owned(folders: Folders) -> Iterator[None]:
    """Make the folders, and keep another process from training into them."""
    with ExitStack() as stack:
        try:
            folders.states.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folders.states / ".lock", wait=False))
        except BlockingIOError as error:
            raise ConfigurationError(
                f"Another process trains into {folders.model}. Wait for it, or name another folder."
            ) from error
        except OSError as error:
            raise DiskFullError(f"Cannot write to {folders.model}: {error.strerror}.") from error
        yield


def _record(request: Request, data: TrainingData) -> dict[str, Any]:
    """Say what a model comes from, in values that JSON has."""
    base = request.base
    return {
        "arguments": {
            "configuration": str(request.configuration.path),
            "data": str(request.data),
            "validation": str(request.validation) if request.validation else None,
            "device": request.device,
            "precision": request.precision,
        },
        "configuration": dict(request.configuration.values),
        "architecture": request.configuration.architecture.to_json(),
        "base": {"name": base.name, "sha256": base.sha256} if base else None,
        **program(),
        "data": {
            "sha256": digest(data.hashes, request.data),
            "training_chunks": len(data.training.chunks),
            "validation_chunks": len(data.validation.chunks),
            "files": {str(path): sha256 for path, sha256 in sorted(data.hashes.items())},
            "notes": list(data.notes),
        },
    }
