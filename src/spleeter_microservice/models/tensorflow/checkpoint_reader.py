"""Reads checkpoints of TensorFlow without TensorFlow.

A checkpoint with the prefix ``model`` is ``model.index``, a table of where each tensor
lies and what its checksum is, and ``model.data-00000-of-00001``, the tensors' bytes.

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

import numpy as np

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import CheckpointError
from spleeter_microservice.models.tensorflow.protobuf import read_fields
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c, read_table
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

_LARGEST_INDEX = 4 << 20
_MOST_SHARDS = 1000
_HEADER = ""  # the key of the entry that describes the others
_FLOAT32 = 1
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 14: "bfloat16", 19: "float16"}
_WEIGHT = re.compile(
    r"(conv2d|conv2d_transpose|batch_normalization)(_\d+)?"
    r"/(kernel|bias|gamma|beta|moving_mean|moving_variance)"
)
# The bytes of ``global_step`` (int64), the last tensor by name in Deezer's files; it is 0 there.
_GLOBAL_STEP = bytes(8)


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies; ``crc32c`` is masked, ``shard`` the end of its file's name."""

    dtype: int
    shape: tuple[int, ...]
    shard: str
    offset: int
    size: int
    crc32c: int
    sliced: bool = False


def read_checkpoint(path: Path, architecture: UNetArchitecture) -> dict[str, Array]:
    """Read the weights of a model, verifying names, types, shapes and checksums.

    ``global_step``, the optimizer's variables and the like are passed over.

    Args:
        path: the prefix of a checkpoint (``folder/model``), its ``.index`` file, or a
            folder: then what its file ``checkpoint`` names, else its only checkpoint.
        architecture: says which variables there must be, and their shapes.

    Returns:
        arrays by variable name, in TensorFlow's layout.

    Raises:
        CheckpointError: naming the tensor, or the file, that is missing or wrong.
    """
    prefix = find_prefix(path)
    entries = read_index(_index(prefix))
    shapes = architecture.variables()
    surplus = sorted(name for name in entries if _WEIGHT.fullmatch(name) and name not in shapes)
    if surplus:
        raise CheckpointError(
            f"The checkpoint {prefix} has more layers than the model: {len(surplus)} tensors are left over, "
            f"among them {surplus[0]}. Its configuration names another number of instruments."
        )
    return {name: _read_tensor(prefix, name, shape, entries.get(name)) for name, shape in shapes.items()}


def read_index(path: Path) -> dict[str, TensorEntry]:
    """Read what a ``.index`` file says about each tensor, in order of the names.

    Raises:
        CheckpointError: when the file is missing, or is damaged or no such file.
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
    """Find the checkpoint that a path means, as ``read_checkpoint`` describes it.

    Raises:
        CheckpointError: when there is none, or more than one to choose from.
    """
    if not path.is_dir():
        prefix = path.with_suffix("") if path.suffix == ".index" else path
        if not _index(prefix).is_file():
            raise CheckpointError(f"There is no checkpoint at {path}: the file {_index(prefix)} is missing.")
        return prefix
    named = _named_checkpoint(path)
    if named is not None and _index(named).is_file():
        return named
    found = sorted(index for index in path.glob("*.index") if not index.name.startswith("."))
    if len(found) != 1:
        raise CheckpointError(
            f"The folder {path} holds {len(found)} checkpoints (files ending in .index); one was expected."
        )
    return found[0].with_suffix("")


def data_sha256(path: Path) -> str:
    """Hash a checkpoint's data: for one file, what ``sha256sum`` of that file gives.

    Raises:
        CheckpointError: when a file is missing.
    """
    prefix = find_prefix(path)
    digest = hashlib.sha256()
    for shard in sorted({entry.shard for entry in read_index(_index(prefix)).values()}):
        try:
            with _data(prefix, shard).open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            raise CheckpointError(f"Cannot read {_data(prefix, shard)}: {error.strerror}.") from error
    return digest.hexdigest()


def official_sha256(arrays: Mapping[str, Array]) -> str:
    """Hash arrays as the data file that Deezer's release would have for them.

    That file is the tensors' bytes, little-endian, in order of their names, and a global
    step of zero.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name], "<f4").data)
    digest.update(_GLOBAL_STEP)
    return digest.hexdigest()


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _data(prefix: Path, shard: str) -> Path:
    return prefix.with_name(f"{prefix.name}.{shard}")


def _named_checkpoint(folder: Path) -> Path | None:
    try:
        text = (folder / "checkpoint").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    match = re.search(r'^model_checkpoint_path:\s*"([^"\\\0]+)"', text, re.MULTILINE)
    if match is None or Path(match[1]).name in ("", ".."):
        return None
    named = Path(match[1])
    # A path of the machine that trained the model means the file of that name here.
    inside = not named.is_absolute() and ".." not in named.parts
    return folder / (named if inside else named.name)


def _read_header(message: bytes | None) -> int:
    """Read a ``BundleHeaderProto``; give the number of data files."""
    if message is None:
        raise ValueError("it has no header")
    header = dict(read_fields(message))
    shards, endianness = header.get(1, 0), header.get(2, 0)
    if endianness != 0:
        raise ValueError("its data is big-endian; TensorFlow on common machines writes little-endian")
    if not isinstance(shards, int) or not 1 <= shards <= _MOST_SHARDS:
        raise ValueError(f"its number of data files ({shards!r}) is impossible")
    return shards


def _read_entry(name: str, message: bytes, shards: int) -> TensorEntry:
    """Read a ``BundleEntryProto``."""
    numbers = dict.fromkeys((1, 3, 4, 5, 6), 0)
    shape: tuple[int, ...] = ()
    sliced = False
    for field, value in read_fields(message):
        if field in numbers and isinstance(value, int):
            numbers[field] = value
        elif field == 2 and isinstance(value, bytes):
            shape = _read_shape(value)
        elif field == 7:
            sliced = True
    if numbers[3] >= shards:
        raise ValueError(f"the tensor {name!r} lies in data file {numbers[3]} of {shards}")
    shard = f"data-{numbers[3]:05}-of-{shards:05}"
    return TensorEntry(numbers[1], shape, shard, numbers[4], numbers[5], numbers[6], sliced)


def _read_shape(message: bytes) -> tuple[int, ...]:
    """Read a ``TensorShapeProto``."""
    sizes = []
    for field, value in read_fields(message):
        if field == 2 and isinstance(value, bytes):
            size = dict(read_fields(value)).get(1, 0)
            if not isinstance(size, int):
                raise ValueError("a dimension has no size")
            sizes.append(size)
    return tuple(sizes)


def _read_tensor(prefix: Path, name: str, shape: tuple[int, ...], entry: TensorEntry | None) -> Array:
    problem = _misfit(shape, entry)
    if problem or entry is None:
        raise CheckpointError(f"The checkpoint {prefix} does not fit the model: the tensor {name} {problem}.")
    path = _data(prefix, entry.shard)
    # The entry's size equals that of the expected shape, so this allocates no more than the model.
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(min(entry.offset, end))
            data = file.read(entry.size)
    except OSError as error:
        raise CheckpointError(f"Cannot read the tensor {name} from {path}: {error.strerror}.") from error
    if len(data) < entry.size:
        raise CheckpointError(
            f"The file {path} is cut off: the tensor {name} needs {entry.size} bytes from byte "
            f"{entry.offset}, of which {len(data)} are there."
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
        return "is stored in slices, which this program does not read; save it unpartitioned"
    return None
