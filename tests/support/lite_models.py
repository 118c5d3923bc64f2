"""A store of the built-in models and of small networks for them to refine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.models.catalogue import CATALOGUE, BuiltIn, Catalogue
from spleeter_microservice.models.installer import architecture_of
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.separation.spleeter.cascade import BASE
from tests.support.random_models import TINY, random_arrays, random_entry
from tests.support.tensorflow_files import write_checkpoint

TINY_BASE = replace(BASE, conv_n_filters=TINY.conv_n_filters)
"""Deezer's 2-stem model with fewer filters."""

TINY_FOUR = replace(TINY_BASE, stems=("vocals", "drums", "bass", "other"))


def lite_store(folder: Path) -> ModelStore:
    """Return an empty store with small models called 2stems and 4stems, and the built-in models."""
    small = (random_entry("2stems", TINY_BASE), random_entry("4stems", TINY_FOUR))
    built_in = (entry for entry in CATALOGUE if isinstance(entry.source, BuiltIn))
    return ModelStore(folder, catalogue=Catalogue(*small, *built_in))


def install(store: ModelStore, name: str, work: Path) -> None:
    """Install one of the two."""
    architecture = architecture_of(store.catalogue.resolve(name).entry)
    prefix = work / name
    prefix.mkdir(parents=True)
    step: dict[str, NDArray[np.generic]] = {"global_step": np.zeros((), np.int64)}
    write_checkpoint(prefix / "model", {**random_arrays(architecture), **step})
    store.import_(name, prefix)
