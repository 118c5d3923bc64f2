"""Models by name: found if installed, pulled otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from spleeter_microservice.errors import DownloadError, ModelNotInstalledError
from spleeter_microservice.models.catalogue import ModelEntry
from spleeter_microservice.models.custom import identify_configured, load_configured
from spleeter_microservice.models.directory import InstalledModel
from spleeter_microservice.models.installer import architecture_of
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture


def find_model(
    descriptor: str,
    store: ModelStore,
    checkpoints_dir: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> InstalledModel:
    """Find a model; pull it first if it has a known name and is not installed.

    ``4stems`` and ``5stems`` mean Deezer's models if they are installed and the built-in ones otherwise;
    ``spleeter:4stems`` always means Deezer's.

    Args:
        descriptor: ``2stems``, ``spleeter:2stems``, ``4stems-lite``, … or the path of a configuration
            file in Spleeter's format.
        store: store of installed models.
        checkpoints_dir: Spleeter's ``MODEL_PATH``: a directory to look for checkpoints in.
        announce: called with a sentence when a model is about to be pulled, or replaced by a built-in one.

    Returns:
        the model; its ``name`` and ``quality`` say which one it is.

    Raises:
        ModelNotInstalledError: if the model is not installed and cannot be pulled.
        ModelError: if the model is unknown or damaged.
        ConfigurationError: if the configuration file cannot be used.
    """
    if descriptor.endswith(".json"):
        return load_configured(store, Path(descriptor), checkpoints_dir)
    if replacement := _replacement(descriptor, store):
        announce(
            f"Deezer's {descriptor} is not installed: using the built-in {replacement.name}, whose stems are "
            f"approximate. To install Deezer's: spleeter-microservice models pull {descriptor}"
        )
        descriptor = replacement.name
    try:
        return store.find(descriptor)
    except ModelNotInstalledError as missing:
        announce(
            f"The model {store.catalogue.requirement(descriptor).name} is not installed; pulling it now."
        )
        try:
            return store.pull(descriptor)
        except DownloadError as error:
            raise ModelNotInstalledError(f"{missing}. Pulling it now failed: {error}") from error


def identify_model(
    descriptor: str, store: ModelStore, checkpoints_dir: Path | None = None
) -> tuple[UNetArchitecture, str]:
    """Return the architecture and the hash of the weights of the model that ``find_model`` would return.

    Nothing is downloaded, verified or written.

    Raises:
        ModelError: if the model is unknown.
        ConfigurationError: if the configuration file cannot be used.
    """
    if descriptor.endswith(".json"):
        return identify_configured(store, Path(descriptor), checkpoints_dir)
    replacement = _replacement(descriptor, store)
    selection = store.catalogue.resolve(replacement.name if replacement else descriptor)
    return replace(architecture_of(selection.entry), **selection.changes), selection.entry.sha256


def _replacement(descriptor: str, store: ModelStore) -> ModelEntry | None:
    """Return the built-in model that is used because Deezer's is not installed."""
    return None if descriptor in store.present() else store.catalogue.replacement(descriptor)
