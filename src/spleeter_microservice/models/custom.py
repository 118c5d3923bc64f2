"""Models that a configuration file in Spleeter's format describes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spleeter_microservice.errors import CheckpointError, ConfigurationError, ModelError, UnknownModelError
from spleeter_microservice.models.directory import InstalledModel, ModelDirectory
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.models.tensorflow.checkpoint_reader import data_sha256, find_prefix
from spleeter_microservice.models.weights import Weights, read_checkpoint_weights
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture, read_configuration

_KEPT = ".configured"


def load_configured(store: ModelStore, config_path: Path, model_path: Path | None = None) -> InstalledModel:
    """Give the model of a configuration file; the store keeps its networks for the next use.

    ``model_dir`` is looked for as Spleeter's users mean it: an absolute path; else beside
    the configuration file; else that file's own folder, if it has the name; else in
    ``model_path``; else it is the name of an installed model, whose weights are then run
    with the configuration's settings.

    Args:
        store: of installed models.
        config_path: a JSON file.
        model_path: Spleeter's MODEL_PATH, if it is set.

    Raises:
        ConfigurationError: when the file is not such a configuration.
        CheckpointError: when the checkpoint is missing, damaged or does not fit.
        ModelNotInstalledError: when ``model_dir`` names a model that is not installed.
        ModelError: when the store cannot be written.
    """
    configuration = read_configuration(config_path)
    architecture = UNetArchitecture.from_configuration(configuration)
    model_dir = configuration.get("model_dir")
    if not isinstance(model_dir, str) or not model_dir:
        raise ConfigurationError(f"The configuration {config_path} lacks model_dir, the checkpoint's folder.")
    configured = _Configured(store, config_path, architecture)
    folders = _candidates(config_path, model_dir, model_path)
    folder = next((folder for folder in folders if folder.is_dir()), None)
    model = configured.from_name(model_dir) if folder is None else configured.from_folder(folder)
    return replace(model, name=str(config_path), architecture=architecture, quality="own")


class _Configured:
    """Brings the networks of one configuration into the store."""

    def __init__(self, store: ModelStore, config_path: Path, architecture: UNetArchitecture) -> None:
        self.store = store
        self.config_path = config_path
        self.architecture = architecture
        # By the path alone: the networks of a retrained model replace the former ones.
        key = hashlib.sha256(str(config_path.resolve()).encode()).hexdigest()[:16]
        folder = store.folder / _KEPT / key
        self.slot = ModelDirectory(folder, f"rm -r {folder}")

    def from_folder(self, folder: Path) -> InstalledModel:
        prefix = find_prefix(folder)
        return self._keep(
            data_sha256(prefix), prefix, lambda: read_checkpoint_weights(prefix, self.architecture)
        )

    def from_name(self, name: str) -> InstalledModel:
        model = self._find(name)
        if model.architecture.has_networks_of(self.architecture):
            return model
        return self._keep(model.manifest.weights_sha256, model.folder, lambda: self._borrow(model))

    def _keep(self, sha256: str, source: Path, read: Callable[[], Weights]) -> InstalledModel:
        """Give the networks of the weights with this hash, from the last use if there was one."""
        kept = self._kept()
        if (
            kept is not None
            and kept.manifest.weights_sha256 == sha256
            and kept.architecture.has_networks_of(self.architecture)
        ):
            return kept
        weights, installer = read(), self.store.installer
        manifest = installer.describe(str(self.config_path), str(source), "unknown", self.architecture)
        with self.slot.locked():
            installer.install(self.slot, manifest, weights)
        model = installer.current(self.slot)
        assert model is not None
        return model

    def _kept(self) -> InstalledModel | None:
        try:
            return self.store.installer.current(self.slot)
        except ModelError:  # damaged, or of another version of this program: made anew
            return None

    def _find(self, name: str) -> InstalledModel:
        try:
            return self.store.find(name)
        except UnknownModelError as error:
            raise CheckpointError(
                f"The configuration {self.config_path} has the model_dir {name!r}, which is neither a folder "
                "(absolute, beside the configuration file, or in MODEL_PATH) nor the name of a model."
            ) from error

    def _borrow(self, model: InstalledModel) -> Weights:
        weights = replace(self.store.installer.weights(model), example_song=None)
        expected = self.architecture.variables()
        for name in sorted(expected.keys() | weights.arrays.keys()):
            found = weights.arrays[name].shape if name in weights.arrays else "missing"
            if found != expected.get(name):
                raise CheckpointError(
                    f"The weights of {model.name} do not fit the configuration {self.config_path}: "
                    f"the tensor {name} is {found}, expected {expected.get(name, 'none')}."
                )
        return weights


def _candidates(config_path: Path, model_dir: str, model_path: Path | None) -> list[Path]:
    own = config_path.resolve().parent
    candidates = [own / model_dir]  # an absolute model_dir stands for itself
    if own.name == model_dir:
        candidates.append(own)
    if model_path is not None:
        candidates.append(model_path / model_dir)
    return candidates
