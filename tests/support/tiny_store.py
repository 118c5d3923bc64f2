"""A catalogue of one small model with random weights, and the formats of these weights."""

import tarfile
import tempfile
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.models.catalogue import Catalogue
from spleeter_microservice.models.store import ModelStore
from tests.support.random_models import TINY, random_arrays, random_entry
from tests.support.tensorflow_files import write_checkpoint

NAME = "tiny"
ARCHITECTURE = replace(TINY, bins=1024, n_fft=4096, hop_length=1024)

Arrays = dict[str, NDArray[np.float32]]


@cache
def arrays(seed: int = 0) -> Arrays:
    return random_arrays(ARCHITECTURE, seed)


@cache
def catalogue() -> Catalogue:
    return Catalogue(random_entry(NAME, ARCHITECTURE))


def tiny_store(folder: Path, mirror: str | None = None) -> ModelStore:
    return ModelStore(folder, catalogue=catalogue(), mirror=mirror)


def checkpoint(folder: Path, seed: int = 0) -> Path:
    """Write the weights as Deezer's release has them and return their directory."""
    step: dict[str, NDArray[np.generic]] = {"global_step": np.zeros((), np.int64)}
    write_checkpoint(folder / "model", {**arrays(seed), **step})
    (folder / "model.meta").write_bytes(b"the graph of the training")
    return folder


def archive(path: Path, seed: int = 0, below: str = "") -> Path:
    """Write the weights as an archive in the format of the path's suffix."""
    folder = checkpoint(path.with_name(f"{path.name}-content"), seed)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as zipped:
            for file in sorted(folder.iterdir()):
                zipped.write(file, below + file.name)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for file in sorted(folder.iterdir()):
                tar.add(file, below + file.name)
    return path


@cache
def archived() -> bytes:
    """Return the weights as the bytes of a .tar.gz file."""
    with tempfile.TemporaryDirectory() as folder:
        return archive(Path(folder) / "tiny.tar.gz").read_bytes()
