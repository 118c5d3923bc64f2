"""Writes checkpoints as TensorFlow has them; ``checkpoints`` names the format and reads them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.models.tensorflow.protobuf import bytes_field, fixed32_field, integer_field, varint
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c

_SHARD = "data-00000-of-00001"
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER_SIZE = 40  # before the magic number
_DTYPES = {"float32": 1, "int64": 9}
_NO_COMPRESSION = b"\0"
# One data file, little-endian, version 1.
_HEADER = integer_field(1, 1) + bytes_field(3, integer_field(1, 1))

Entry = tuple[bytes, bytes]


def write_checkpoint(folder: Path, name: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write a checkpoint and, when it is whole, make it the folder's current one.

    Args:
        folder: an existing one; its file ``checkpoint`` names the current checkpoint.
        name: of this one; another than the current one's, unless it holds the same.
        arrays: of float32 or int64, by variable name.

    Raises:
        OSError: when the folder refuses it; the current checkpoint is then what it was.
    """
    entries, offset = [(b"", _HEADER)], 0
    with _replacing(folder / f"{name}.{_SHARD}") as file:
        for key in sorted(arrays):
            content = np.ascontiguousarray(arrays[key]).tobytes()
            entries.append((key.encode(), _described(arrays[key], offset, content)))
            offset += file.write(content)
    with _replacing(folder / f"{name}.index") as file:
        file.write(_table(entries))
    with _replacing(folder / "checkpoint") as file:
        file.write(f'model_checkpoint_path: "{name}"\n'.encode())


def remove_checkpoint(folder: Path, name: str) -> None:
    """Remove the files of a checkpoint that is no longer the current one."""
    (folder / f"{name}.index").unlink(missing_ok=True)
    (folder / f"{name}.{_SHARD}").unlink(missing_ok=True)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Write a file that takes its name, and the place of a former one, when it is on the disk."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _described(array: NDArray[np.generic], offset: int, content: bytes) -> bytes:
    """Write a ``BundleEntryProto``."""
    shape = b"".join(bytes_field(2, integer_field(1, size)) for size in array.shape)
    return (
        integer_field(1, _DTYPES[array.dtype.name])
        + bytes_field(2, shape)
        + integer_field(4, offset)
        + integer_field(5, len(content))
        + fixed32_field(6, masked_crc32c(content))
    )


def _table(entries: Iterable[Entry]) -> bytes:
    """Write a table of one block of data, an empty one of metadata, and the list of blocks."""
    ordered = list(entries)
    data, handles = b"", []
    for content in (_block(ordered), _block([])):
        handles.append(varint(len(data)) + varint(len(content)))
        data += _sealed(content)
    listing = _block([(ordered[-1][0], handles[0])])
    footer = handles[1] + varint(len(data)) + varint(len(listing))
    return data + _sealed(listing) + footer.ljust(_FOOTER_SIZE, b"\0") + _MAGIC


def _block(entries: Iterable[Entry]) -> bytes:
    """Write every key in full, sharing nothing with the one before, and one place to start reading."""
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    return body + struct.pack("<II", 0, 1)


def _sealed(content: bytes) -> bytes:
    return content + _NO_COMPRESSION + struct.pack("<I", masked_crc32c(content, _NO_COMPRESSION))
