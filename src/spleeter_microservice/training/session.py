"""One run of ``train``: its configuration, data, weights and folders, put together and trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from spleeter_microservice import errors
from spleeter_microservice.arrays import Array
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.training.configuration import TrainingConfiguration
from spleeter_microservice.training.devices import DeviceName, Precision, choose
from spleeter_microservice.training.provenance import digest, program
from spleeter_microservice.training.torch_networks import TorchNetworks, initial_arrays
from spleeter_microservice.training.trainer import Listener, Trainer
from spleeter_microservice.training.training_data import Progress, TrainingData, find_examples, prepare
from spleeter_microservice.training.training_state import STATES, TrainingState, load_state


@dataclass(frozen=True)
class Base:
    """Weights to fine-tune, instead of starting from random ones.

    Attributes:
        name: name of their model.
        sha256: SHA-256 of the weights.
        architecture: architecture of their model.
        arrays: the weights, by TensorFlow's names and in its layout.
    """

    name: str
    sha256: str
    architecture: UNetArchitecture
    arrays: Mapping[str, Array] = field(repr=False)


@dataclass(frozen=True)
class Request:
    """What to train.

    Attributes:
        configuration: configuration of the training.
        data: folder of the songs.
        output: folder of the model, its states and its logs.
        validation: folder of songs for validation only.
        base: weights to start from; ignored when a training is resumed.
    """

    configuration: TrainingConfiguration
    data: Path
    output: Path
    validation: Path | None = None
    base: Base | None = None
    device: DeviceName = "auto"
    precision: Precision = "auto"


def run_training(request: Request, listener: Listener, progress: Progress) -> Path:
    """Train a model, or resume the training in the output folder.

    Args:
        request: what to train.
        listener: receives the start, the steps and the checkpoints.
        progress: receives the progress of the preparation, see ``training_data.Progress``.

    Returns:
        The configuration file of the exported model.

    Raises:
        ConfigurationError: if the device is missing, or another process trains into the output folder.
        CheckpointError: if the weights to start from do not fit the configuration.
        TrainingError: if the data or the saved state cannot be used, or the loss diverges.
        AudioError: if a song cannot be read.
        DiskFullError: if a file cannot be written.
    """
    configuration, states = request.configuration, request.output / STATES
    compute = choose(request.device, request.precision)
    weights = _initial_weights(configuration, request.base)
    examples = find_examples(configuration, request.data, request.validation)
    with _locked(request.output):
        state = load_state(states)
        if state:
            _check_same_model(state, request)
        data = prepare(configuration, examples, states / "files.json", compute.workers, progress)
        networks = TorchNetworks(configuration.architecture, weights, compute.device)
        record = _record(request, data) | {"device": str(compute.device), "bf16": compute.bf16}
        if state:
            data = replace(data, notes=[*data.notes, *_changes(state.record, record)])
            record["data"]["notes"] = list(data.notes)
            record["base"] = state.record.get("base")  # this run starts from the saved state
        trainer = Trainer(configuration, data, networks, compute, request.output, record, listener)
        if state:
            trainer.resume(state)
        listener.on_start(trainer.step, str(compute.device), compute.bf16, data)
        return trainer.run()


def _initial_weights(configuration: TrainingConfiguration, base: Base | None) -> Mapping[str, Array]:
    architecture = configuration.architecture
    if base is None:
        return initial_arrays(architecture, configuration.random_seed)
    # The weights depend neither on the names of the stems nor on the length of a segment.
    count = len(base.architecture.stems)
    stems = base.architecture.stems if count != len(architecture.stems) else architecture.stems
    renamed = replace(base.architecture, stems=stems, segment_frames=architecture.segment_frames)
    if not architecture.has_networks_of(renamed):
        raise errors.CheckpointError(
            f"The weights of {base.name} do not fit {configuration.path}. Set its instrument_list to {count} "
            f"names, as the weights have ({', '.join(base.architecture.stems)}), and 'model' to their value."
        )
    return base.arrays


def _check_same_model(state: TrainingState, request: Request) -> None:
    now = request.configuration.architecture.to_config()
    saved = UNetArchitecture.from_config(json.loads(str(state.record["architecture"]))).to_config()
    changed = [key for key, value in now.items() if value != saved[key]]
    if changed:
        raise errors.TrainingStateError(
            f"{request.output} holds the training of another model, with different {', '.join(changed)}. "
            "Pass another output directory, or remove this one."
        )


def _changes(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return notes about what differs from the run that is resumed; more steps are no difference."""
    before, after = saved["configuration"], now["configuration"]
    notes = [
        f"{key} is {after.get(key)!r}, and was {before.get(key)!r} before this training was resumed"
        for key in sorted((before.keys() | after.keys()) - {"train_max_steps"})
        if before.get(key) != after.get(key)
    ]
    if saved["data"]["sha256"] != now["data"]["sha256"]:
        notes.append("the songs are not those that this training was begun with")
    return notes


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Create the directory of a model, and lock it against another training."""
    with ExitStack() as stack:
        try:
            (folder / STATES).mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / STATES / ".lock", blocking=False))
        except Timeout as error:
            raise errors.ConfigurationError(
                f"Another process is training into {folder}. Wait for it, or pass another directory."
            ) from error
        except OSError as error:
            raise errors.DiskFullError(f"Cannot write to {folder}: {error.strerror}.") from error
        yield


def _record(request: Request, data: TrainingData) -> dict[str, Any]:
    """Return the provenance of a model, in JSON values."""
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
        "architecture": json.dumps(request.configuration.architecture.to_config()),
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
