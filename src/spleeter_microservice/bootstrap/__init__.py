"""From settings to live objects; the only place that wires them together.

What separates is imported where it is needed: the API, which is wired here too, stays light.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spleeter_microservice.errors import DownloadError, ModelNotInstalledError
from spleeter_microservice.settings import Settings

if TYPE_CHECKING:
    from spleeter_microservice.models.slot import InstalledModel
    from spleeter_microservice.models.store import ModelStore
    from spleeter_microservice.separation.pipeline import Bandwidth, Pipeline


def open_store(settings: Settings) -> ModelStore:
    """Give the store of installed models."""
    from spleeter_microservice.models.lite import BUILT_IN
    from spleeter_microservice.models.store import ModelStore

    return ModelStore(settings.models_dir, mirror=settings.models_url, built_in=BUILT_IN)


def find_model(
    descriptor: str, settings: Settings, announce: Callable[[str], None] = lambda _: None
) -> InstalledModel:
    """Find a model and, if it is a known one that is not installed, pull it first.

    ``4stems`` and ``5stems`` mean Deezer's if they are installed and the built-in ones otherwise;
    ``spleeter:4stems`` means Deezer's and nothing else.

    Args:
        descriptor: ``2stems``, ``spleeter:2stems``, ``4stems-lite``, … or the path of a
            configuration file in Spleeter's format.
        settings: where models are.
        announce: told, in words, when a model is about to be pulled, or replaced by a built-in one.

    Returns:
        the model, whose ``name`` and ``quality`` say which one it is.

    Raises:
        ModelNotInstalledError: when it is not there and cannot be pulled.
        ModelError: when it is unknown or broken.
        ConfigurationError: when the configuration file cannot be used.
    """
    from spleeter_microservice.models.configured import load_configured

    store = open_store(settings)
    if descriptor.endswith(".json"):
        return load_configured(store, Path(descriptor), settings.checkpoints_dir)
    return find_known(store, descriptor, announce)


def find_known(
    store: ModelStore, descriptor: str, announce: Callable[[str], None] = lambda _: None
) -> InstalledModel:
    """Find a model that has a name, as ``find_model`` does, in a store."""
    if stand_in := store.stand_in(descriptor):
        announce(
            f"Deezer's {descriptor} is not installed: using the built-in {stand_in.name}, whose stems are "
            f"approximate. To install Deezer's: spleeter-microservice models pull {descriptor}"
        )
        descriptor = stand_in.name
    try:
        return store.find(descriptor)
    except ModelNotInstalledError as missing:
        from spleeter_microservice.models.lite import BASE

        needed = BASE if descriptor in store.built_in else descriptor
        announce(f"The model {needed} is not installed: pulling it now.")
        try:
            store.pull(descriptor)
        except DownloadError as error:
            raise ModelNotInstalledError(f"{missing}. Pulling it now failed: {error}") from error
    return store.find(descriptor)


def find_model_for(
    stems: int, settings: Settings, announce: Callable[[str], None] = lambda _: None
) -> InstalledModel:
    """Find the model that separates into so many stems: Deezer's, or else a built-in one.

    Raises:
        UnknownModelError: when there is none.
        ModelNotInstalledError, ModelError: as ``find_model``.
    """
    return find_model(f"{stems}stems", settings, announce)


@contextmanager
def open_pipeline(
    model: InstalledModel, *, mwf: bool = False, bandwidth: Bandwidth = "official", cores: int | None = None
) -> Iterator[Pipeline]:
    """Load a model's networks and give a pipeline that separates with them."""
    from spleeter_microservice.separation.cascade import load_networks
    from spleeter_microservice.separation.pipeline import Pipeline

    base = model.base.folder if model.base else None
    networks = load_networks(model.folder, model.architecture, cores, base)
    with Pipeline(model.architecture, networks, mwf=mwf, bandwidth=bandwidth) as pipeline:
        yield pipeline
