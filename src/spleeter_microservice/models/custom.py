"""Models that a configuration file in Spleeter's format describes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from spleeter_microservice.errors import CheckpointError, ConfigurationError, ModelError, UnknownModelError
from spleeter_microservice.models import installer
from spleeter_microservice.models.directory import InstalledModel, ModelDirectory
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.models.tensorflow.checkpoint_reader import data_sha256, find_prefix
from spleeter_microservice.models.weights import Weights, read_checkpoint_weights
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration

_CACHE = ".configured"


def load_configured(store: ModelStore, config_path: Path, model_path: Path | None = None) -> InstalledModel:
    """Return the model of a configuration file; the store keeps its networks for the next use.

    ``model_dir`` means what it means to official Spleeter: an absolute path; a directory beside the
    configuration file; the directory of that file, if it has this name; a directory in ``model_path``.
    Otherwise it is the name of an installed model, whose weights are then run with these settings.

    Args:
        store: store of installed models.
        config_path: configuration file, in JSON.
        model_path: Spleeter's ``MODEL_PATH``, if it is set.

    Raises:
        ConfigurationError: if the file is not such a configuration.
        CheckpointError: if the checkpoint is missing, damaged or does not fit.
        ModelNotInstalledError: if ``model_dir`` names a model that is not installed.
        UnwritableOutputError: if the store cannot be written.
    """
    architecture, model_dir, folder = _read(config_path, model_path)
    configured = _ConfiguredModel(store, config_path, architecture)
    model = configured.from_name(model_dir) if folder is None else configured.from_folder(folder)
    return replace(model, name=str(config_path), architecture=architecture, quality="own")


def identify_configured(
    store: ModelStore, config_path: Path, model_path: Path | None = None
) -> tuple[UNetArchitecture, str]:
    """Return the architecture and the hash of the weights of a configuration file, and write nothing.

    Raises:
        ConfigurationError, CheckpointError: as ``load_configured``.
        UnknownModelError: if ``model_dir`` is neither a directory nor the name of a model.
    """
    architecture, model_dir, folder = _read(config_path, model_path)
    if folder is None:
        return architecture, store.catalogue.resolve(model_dir).entry.sha256
    return architecture, data_sha256(find_prefix(folder))


def _read(config_path: Path, model_path: Path | None) -> tuple[UNetArchitecture, str, Path | None]:
    """Return the architecture, ``model_dir`` and the directory that it means, if it is one."""
    configuration = read_configuration(config_path)
    architecture = UNetArchitecture.from_configuration(configuration)
    model_dir = configuration.get("model_dir")
    if not isinstance(model_dir, str) or not model_dir:
        raise ConfigurationError(
            f"The configuration {config_path} lacks model_dir, the checkpoint's directory."
        )
    folders = _candidates(config_path, model_dir, model_path)
    return architecture, model_dir, next((folder for folder in folders if folder.is_dir()), None)


class _ConfiguredModel:
    """The model of one configuration file, and the directory that caches its networks."""

    def __init__(self, store: ModelStore, config_path: Path, architecture: UNetArchitecture) -> None:
        self.store = store
        self.config_path = config_path
        self.architecture = architecture
        # Named after the path alone, so that the networks of a retrained model replace the earlier ones.
        key = hashlib.sha256(str(config_path.resolve()).encode()).hexdigest()[:16]
        folder = store.folder / _CACHE / key
        self.directory = ModelDirectory(folder, f"rm -r {folder}")

    def from_folder(self, folder: Path) -> InstalledModel:
        """Return the model with the weights of a checkpoint."""
        prefix = find_prefix(folder)
        return self._cached(
            data_sha256(prefix), prefix, lambda: read_checkpoint_weights(prefix, self.architecture)
        )

    def from_name(self, name: str) -> InstalledModel:
        """Return the model with the weights of an installed one."""
        try:
            model = self.store.find(name)
        except UnknownModelError as error:
            raise CheckpointError(
                f"The configuration {self.config_path} has the model_dir {name!r}, which is neither a "
                "directory (absolute, beside the file, or in MODEL_PATH) nor the name of a model."
            ) from error
        if model.architecture.has_networks_of(self.architecture):
            return model
        return self._cached(model.manifest.weights_sha256, model.folder, lambda: self._borrow(model))

    def _cached(self, sha256: str, source: Path, read: Callable[[], Weights]) -> InstalledModel:
        """Return the networks of the weights with this hash; install them if the last use had others."""
        model = self._last_used()
        if (
            model is not None
            and model.manifest.weights_sha256 == sha256
            and model.architecture.has_networks_of(self.architecture)
        ):
            return model
        weights = read()
        manifest = installer.new_manifest(str(self.config_path), str(source), "unknown", self.architecture)
        with self.directory.locked():
            installer.install(self.directory, manifest, weights)
        model = installer.read_current(self.directory)
        assert model is not None
        return model

    def _last_used(self) -> InstalledModel | None:
        try:
            return installer.read_current(self.directory)
        except ModelError:  # damaged, or written by another version of this program
            return None

    def _borrow(self, model: InstalledModel) -> Weights:
        weights = replace(installer.read_installed_weights(model), example_song=None)
        if problem := self.architecture.misfit(weights.arrays):
            raise CheckpointError(
                f"The weights of {model.name} do not fit the configuration {self.config_path}: {problem}."
            )
        return weights


def _candidates(config_path: Path, model_dir: str, model_path: Path | None) -> Iterator[Path]:
    own = config_path.resolve().parent
    yield own / model_dir  # which is model_dir itself if that is absolute
    if own.name == model_dir:
        yield own
    if model_path is not None:
        yield model_path / model_dir
