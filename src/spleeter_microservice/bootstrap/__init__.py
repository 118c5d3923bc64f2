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
    from spleeter_microservice.models.store import ModelStore

    return ModelStore(settings.models_dir, mirror=settings.models_url)


def find_model(
    descriptor: str, settings: Settings, announce: Callable[[str], None] = lambda _: None
) -> InstalledModel:
    """Find a model and, if it is a known one that is not installed, pull it first.

    Args:
        descriptor: ``2stems``, ``spleeter:2stems``, … or the path of a configuration file
            in Spleeter's format.
        settings: where models are.
        announce: told, in words, when a model is about to be pulled.

    Raises:
        ModelNotInstalledError: when it is not there and cannot be pulled.
        ModelError: when it is unknown or broken.
        ConfigurationError: when the configuration file cannot be used.
    """
    from spleeter_microservice.models.configured import load_configured

    store = open_store(settings)
    if descriptor.endswith(".json"):
        return load_configured(store, Path(descriptor), settings.checkpoints_dir)
    try:
        return store.find(descriptor)
    except ModelNotInstalledError as missing:
        announce(f"The model {descriptor} is not installed: pulling it now.")
        try:
            store.pull(descriptor)
        except DownloadError as error:
            raise ModelNotInstalledError(f"{missing}. Pulling it now failed: {error}") from error
    return store.find(descriptor)


@contextmanager
def open_pipeline(
    model: InstalledModel, *, mwf: bool = False, bandwidth: Bandwidth = "official", cores: int | None = None
) -> Iterator[Pipeline]:
    """Load a model's networks and give a pipeline that separates with them."""
    from spleeter_microservice.separation.network import Networks
    from spleeter_microservice.separation.pipeline import Pipeline

    networks = Networks(model.folder, model.architecture, cores)
    with Pipeline(model.architecture, networks, mwf=mwf, bandwidth=bandwidth) as pipeline:
        yield pipeline
