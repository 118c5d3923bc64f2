"""Reader of TensorFlow checkpoints that does not need TensorFlow.

A checkpoint with the prefix ``model`` consists of ``model.index``, a table of the tensors' positions and
checksums, and ``model.data-00000-of-00001``, the tensors' bytes.

Format: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/tensor_bundle/tensor_bundle.h
and ``tensorflow/core/protobuf/tensor_bundle.proto``.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import CheckpointError
from spleeter_microservice.models.tensorflow.protobuf import read_fields
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c, read_table
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

_LARGEST_INDEX = 4 << 20
_MOST_SHARDS = 1000
_HEADER = ""  # key of the entry that describes the whole checkpoint
_FLOAT32 = 1
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 14: "bfloat16", 19: "float16"}
_WEIGHT = re.compile(
    r"(conv2d|conv2d_transpose|batch_normalization)(_\d+)?"
    r"/(kernel|bias|gamma|beta|moving_mean|moving_variance)"
)
# Bytes of ``global_step`` (int64), the last tensor by name in Deezer's files, where it is 0.
_GLOBAL_STEP = bytes(8)


@dataclass(frozen=True)
class TensorEntry:
    """The entry of a tensor in an index.

    Attributes:
        dtype: number of TensorFlow's data type.
        shape: shape of the tensor.
        shard: suffix of the data file's name.
        offset: position in the data file in bytes.
        size: size in bytes.
        crc32c: masked checksum.
        sliced: whether the tensor is stored in slices.
    """

    dtype: int
    shape: tuple[int, ...]
    shard: str
    offset: int
    size: int
    crc32c: int
    sliced: bool = False


def read_checkpoint(path: Path, architecture: UNetArchitecture) -> dict[str, Array]:
    """Read the weights of a model; verify names, types, shapes and checksums.

    Variables of the training, such as ``global_step``, are ignored.

    Args:
        path: prefix of a checkpoint (``folder/model``), its ``.index`` file, or a directory. If that has
            several checkpoints, its file ``checkpoint`` must name the current one.
        architecture: architecture that determines the names and shapes of the variables.

    Returns:
        arrays by variable name, in TensorFlow's layout.

    Raises:
        CheckpointError: if a tensor or file is missing or wrong; the message names it.
    """
    prefix = find_prefix(path)
    entries = read_index(_file(prefix, "index"))
    shapes = architecture.variables()
    surplus = sorted(name for name in entries if _WEIGHT.fullmatch(name) and name not in shapes)
    if surplus:
        raise CheckpointError(
            f"The checkpoint {prefix} has more layers than the model: {len(surplus)} tensors are left over, "
            f"among them {surplus[0]}. Correct the instrument_list of the configuration."
        )
    return {name: _read_tensor(prefix, name, shape, entries.get(name)) for name, shape in shapes.items()}


def read_index(path: Path) -> dict[str, TensorEntry]:
    """Return the entries of an ``.index`` file by tensor name, sorted by name.

    Raises:
        CheckpointError: if the file is missing, damaged or not an index.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_INDEX + 1)
    except OSError as error:
        raise CheckpointError(f"Cannot read the checkpoint's index {path}: {error.strerror}.") from error
    try:
        if len(data) > _LARGEST_INDEX:
            raise ValueError(f"it has more than {_LARGEST_INDEX} bytes")  # noqa: TRY301  (one place words it)
        table = read_table(data)
        shards = _read_header(table.pop(_HEADER, None))
        return {name: _read_entry(name, value, shards) for name, value in table.items()}
    except ValueError as error:
        raise CheckpointError(f"The checkpoint's index {path} cannot be read: {error}.") from error


def find_prefix(path: Path) -> Path:
    """Return the prefix of the checkpoint that a path means; see ``read_checkpoint``.

    Raises:
        CheckpointError: if the path has no checkpoint, or several.
    """
    if not path.is_dir():
        prefix = path.with_suffix("") if path.suffix == ".index" else path
        if not _file(prefix, "index").is_file():
            raise CheckpointError(
                f"{path} is not a checkpoint: the file {_file(prefix, 'index')} is missing."
            )
        return prefix
    named = _named_checkpoint(path)
    if named is not None and _file(named, "index").is_file():
        return named
    found = sorted(index for index in path.glob("*.index") if not index.name.startswith("."))
    if len(found) != 1:
        raise CheckpointError(
            f"The directory {path} holds {len(found)} checkpoints (files ending in .index), expected one."
        )
    return found[0].with_suffix("")


def data_sha256(path: Path) -> str:
    """Return the SHA-256 of a checkpoint's data files, one after the other.

    Raises:
        CheckpointError: if a file is missing.
    """
    prefix = find_prefix(path)
    digest = hashlib.sha256()
    for shard in sorted({entry.shard for entry in read_index(_file(prefix, "index")).values()}):
        try:
            with _file(prefix, shard).open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
        except OSError as error:
            raise CheckpointError(f"Cannot read {_file(prefix, shard)}: {error.strerror}.") from error
    return digest.hexdigest()


def official_sha256(arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of the data file that Deezer's release would have for these arrays.

    That file has the little-endian bytes of the tensors, sorted by name, and a global step of zero.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name], "<f4").data)
    digest.update(_GLOBAL_STEP)
    return digest.hexdigest()


def _file(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(f"{prefix.name}.{suffix}")


def _named_checkpoint(folder: Path) -> Path | None:
    try:
        text = (folder / "checkpoint").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    match = re.search(r'^model_checkpoint_path:\s*"([^"\\\0]+)"', text, re.MULTILINE)
    if match is None or Path(match[1]).name in ("", ".."):
        return None
    named = Path(match[1])
    # A path on the machine that trained the model means the file of the same name here.
    inside = not named.is_absolute() and ".." not in named.parts
    return folder / (named if inside else named.name)


def _read_header(message: bytes | None) -> int:
    """Return the number of data files from a ``BundleHeaderProto``."""
    if message is None:
        raise ValueError("it has no header")
    shards, endianness = _integers(message, 1, 2)
    if endianness != 0:
        raise ValueError("its data is big-endian; save it on a little-endian machine")
    if not 1 <= shards <= _MOST_SHARDS:
        raise ValueError(f"its number of data files ({shards}) is impossible")
    return shards


def _read_entry(name: str, message: bytes, shards: int) -> TensorEntry:
    """Parse a ``BundleEntryProto``."""
    dtype, shard, offset, size, crc32c = _integers(message, 1, 3, 4, 5, 6)
    if shard >= shards:
        raise ValueError(f"the tensor {name!r} is in data file {shard} of {shards}")
    fields = dict(read_fields(message))
    shape = fields.get(2, b"")
    dimensions = read_fields(shape) if isinstance(shape, bytes) else ()  # of a ``TensorShapeProto``
    sizes = [_integers(value, 1)[0] for field, value in dimensions if field == 2 and isinstance(value, bytes)]
    data_file = f"data-{shard:05}-of-{shards:05}"
    return TensorEntry(dtype, tuple(sizes), data_file, offset, size, crc32c, sliced=7 in fields)


def _integers(message: bytes, *numbers: int) -> list[int]:
    """Return fields that are integers; a missing field is 0."""
    fields = dict(read_fields(message))
    values = [fields.get(number, 0) for number in numbers]
    if not all(isinstance(value, int) for value in values):
        raise ValueError("a field that should be an integer is not one")
    return cast("list[int]", values)


def _read_tensor(prefix: Path, name: str, shape: tuple[int, ...], entry: TensorEntry | None) -> Array:
    problem = _misfit(shape, entry)
    if problem or entry is None:
        raise CheckpointError(f"The checkpoint {prefix} does not fit the model: the tensor {name} {problem}.")
    path = _file(prefix, entry.shard)
    # The entry's size equals that of the expected shape, so the read is no larger than the model.
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(min(entry.offset, end))
            data = file.read(entry.size)
    except OSError as error:
        raise CheckpointError(f"Cannot read the tensor {name} from {path}: {error.strerror}.") from error
    if len(data) < entry.size:
        raise CheckpointError(
            f"The file {path} is truncated: the tensor {name} has {len(data)} of {entry.size} bytes "
            f"from byte {entry.offset}."
        )
    found = masked_crc32c(data)
    if found != entry.crc32c:
        raise CheckpointError(
            f"The tensor {name} in {path} is damaged: its CRC-32C is {found:08x}, "
            f"expected {entry.crc32c:08x}."
        )
    return np.frombuffer(data, "<f4").astype(np.float32, copy=False).reshape(shape)


def _misfit(shape: tuple[int, ...], entry: TensorEntry | None) -> str | None:
    if entry is None:
        return "is missing"
    if entry.dtype != _FLOAT32:
        return f"has the type {_DTYPES.get(entry.dtype, entry.dtype)}, expected float32"
    if entry.shape != shape:
        return f"has the shape {entry.shape}, expected {shape}"
    size = 4 * math.prod(shape)
    if entry.size != size:
        return f"has {entry.size} bytes, expected {size}"
    if entry.sliced:
        return "is stored in slices, which cannot be read; save it unpartitioned"
    return None
