"""Models that a configuration file in Spleeter's format describes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from spleeter_microservice.errors import CheckpointError, ConfigurationError, ModelError, UnknownModelError
from spleeter_microservice.models.checkpoints import data_sha256, find_prefix
from spleeter_microservice.models.slot import InstalledModel, Slot
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.models.weights import Weights, read_checkpoint_weights
from spleeter_microservice.separation.architecture import Architecture, read_configuration

_CACHE = ".configured"


def load_configured(store: ModelStore, config_path: Path, model_path: Path | None = None) -> InstalledModel:
    """Give the model of a configuration file, its networks kept in the store for the next use.

    ``model_dir`` is looked for as official Spleeter users mean it: an absolute path; else
    beside the configuration file; else that file's own folder, if it has the name; else in
    ``model_path``; else it is the name of an installed model, whose weights are then run
    with the configuration's settings.

    Args:
        store: keeps the networks, under a key of the configuration's path.
        config_path: a JSON file.
        model_path: Spleeter's MODEL_PATH, if it is set.

    Raises:
        ConfigurationError: when the file is not such a configuration.
        CheckpointError: when the checkpoint is missing, damaged or does not fit.
        ModelNotInstalledError: when ``model_dir`` names a model that is not installed.
        ModelError: when the store cannot be written, or what it keeps is damaged.
    """
    configuration = read_configuration(config_path)
    architecture = Architecture.from_configuration(configuration)
    folder = _find_folder(configuration, config_path, model_path)
    if folder is not None:
        return _load(store, config_path, architecture, data_sha256(folder), folder)
    model = _find_installed(store, configuration, config_path)
    if _same_graph(model.architecture, architecture):
        return replace(model, name=str(config_path), architecture=architecture)
    return _load(store, config_path, architecture, model.manifest.weights_sha256, model)


def _load(
    store: ModelStore,
    config_path: Path,
    architecture: Architecture,
    sha256: str,
    source: Path | InstalledModel,
) -> InstalledModel:
    # One place per configuration: what a retrained model replaces need not be kept.
    key = hashlib.sha256(str(config_path.resolve()).encode()).hexdigest()[:16]
    slot = store.slot(f"{_CACHE}/{key}")
    model = _kept(store, slot)
    if (
        model is None
        or model.manifest.weights_sha256 != sha256
        or not _same_graph(model.architecture, architecture)
    ):
        weights = _read(store, architecture, source)
        origin = str(source if isinstance(source, Path) else source.folder)
        manifest = store.manifest(str(config_path), origin, "unknown", architecture, weights.sha256)
        with slot.changing():
            store.install(slot, manifest, weights)
        model = store.current(slot)
    assert model is not None
    return replace(model, name=str(config_path), architecture=architecture)


def _kept(store: ModelStore, slot: Slot) -> InstalledModel | None:
    try:
        return store.current(slot)
    except ModelError:  # damaged, or of another version of this program: it is made anew
        return None


def _read(store: ModelStore, architecture: Architecture, source: Path | InstalledModel) -> Weights:
    if isinstance(source, Path):
        return read_checkpoint_weights(source, architecture)
    weights = replace(store.weights(source), example_song=None)
    for name, shape in architecture.variables().items():
        found = weights.arrays[name].shape if name in weights.arrays else "missing"
        if found != shape:
            raise CheckpointError(
                f"The model {source.name} does not fit the configuration: its tensor {name} is {found}, "
                f"expected {shape}."
            )
    return weights


def _same_graph(one: Architecture, other: Architecture) -> bool:
    """Tell whether both are run by the same networks: these serve any number of bins."""
    return (
        replace(
            one,
            bins=other.bins,
            sample_rate=other.sample_rate,
            frame_length=other.frame_length,
            frame_step=other.frame_step,
            mask_extension=other.mask_extension,
        )
        == other
    )


def _find_folder(configuration: dict[str, Any], config_path: Path, model_path: Path | None) -> Path | None:
    for folder in _candidates(_model_dir(configuration, config_path), config_path, model_path):
        if folder.is_dir():
            return find_prefix(folder)
    return None


def _candidates(model_dir: str, config_path: Path, model_path: Path | None) -> list[Path]:
    own = config_path.resolve().parent
    candidates = [own / model_dir]  # an absolute model_dir stands for itself
    if own.name == model_dir:
        candidates.append(own)
    if model_path is not None:
        candidates.append(model_path / model_dir)
    return candidates


def _model_dir(configuration: dict[str, Any], config_path: Path) -> str:
    model_dir = configuration.get("model_dir")
    if not isinstance(model_dir, str) or not model_dir:
        raise ConfigurationError(f"The configuration {config_path} lacks model_dir, the checkpoint's folder.")
    return model_dir


def _find_installed(store: ModelStore, configuration: dict[str, Any], config_path: Path) -> InstalledModel:
    model_dir = _model_dir(configuration, config_path)
    try:
        return store.find(model_dir)
    except UnknownModelError as error:
        raise CheckpointError(
            f"The configuration {config_path} names the model_dir {model_dir!r}, which is neither a folder "
            "(absolute, beside the configuration file, or in MODEL_PATH) nor the name of a model."
        ) from error
