"""Small 2-stem networks below the built-in model's, and a store in which they are installed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.models.builtin import BUILT_IN
from spleeter_microservice.models.catalogue import Catalogue, ModelEntry
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.models.tensorflow.checkpoint_reader import official_sha256
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture
from spleeter_microservice.separation.spleeter.cascade import BASE
from tests.support.random_models import TINY, random_arrays
from tests.support.tensorflow_files import write_checkpoint

TINY_BASE = replace(BASE, conv_n_filters=TINY.conv_n_filters)
"""As Deezer's 2-stem model but for its filters."""

TINY_FOUR = replace(TINY_BASE, stems=("vocals", "drums", "bass", "other"))


def lite_store(folder: Path) -> ModelStore:
    """Give an empty store whose 2stems and 4stems are small."""
    entries = {
        name: ModelEntry(name, architecture, official_sha256(random_arrays(architecture)), 1 << 20)
        for name, architecture in (("2stems", TINY_BASE), ("4stems", TINY_FOUR))
    }
    return ModelStore(folder, catalogue=Catalogue(entries), built_in=BUILT_IN)


def install(store: ModelStore, name: str, work: Path) -> None:
    """Install one of the two."""
    architecture: UNetArchitecture = store.catalogue.entries[name].architecture
    prefix = work / name
    prefix.mkdir(parents=True)
    step: dict[str, NDArray[np.generic]] = {"global_step": np.zeros((), np.int64)}
    write_checkpoint(prefix / "model", {**random_arrays(architecture), **step})
    store.import_(name, prefix)
