"""Writer of TensorFlow checkpoints; ``checkpoint_reader`` reads them and refers to the format."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.files import replace_atomically
from spleeter_microservice.models.tensorflow.protobuf import bytes_field, fixed_field, integer_field, varint
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
    """Write a checkpoint and, once it is complete, make it the directory's current one.

    Args:
        folder: an existing directory; its file ``checkpoint`` names the current checkpoint.
        name: name of the checkpoint, different from the current one's unless the arrays are the same.
        arrays: arrays of float32 or int64, by variable name.

    Raises:
        OSError: if a file cannot be written; the current checkpoint is then unchanged.
    """
    entries, offset = [(b"", _HEADER)], 0
    with replace_atomically(folder / f"{name}.{_SHARD}", flush=True) as path, path.open("wb") as file:
        for key in sorted(arrays):
            content = np.ascontiguousarray(arrays[key]).tobytes()
            entries.append((key.encode(), _entry(arrays[key], offset, content)))
            offset += file.write(content)
    with replace_atomically(folder / f"{name}.index", flush=True) as path:
        path.write_bytes(_table(entries))
    with replace_atomically(folder / "checkpoint", flush=True) as path:
        path.write_text(f'model_checkpoint_path: "{name}"\n', encoding="utf-8")


def remove_checkpoint(folder: Path, name: str) -> None:
    """Remove the files of a checkpoint that is no longer the current one."""
    (folder / f"{name}.index").unlink(missing_ok=True)
    (folder / f"{name}.{_SHARD}").unlink(missing_ok=True)


def _entry(array: NDArray[np.generic], offset: int, content: bytes) -> bytes:
    """Encode a ``BundleEntryProto``."""
    shape = b"".join(bytes_field(2, integer_field(1, size)) for size in array.shape)
    return (
        integer_field(1, _DTYPES[array.dtype.name])
        + bytes_field(2, shape)
        + integer_field(4, offset)
        + integer_field(5, len(content))
        + fixed_field(6, "I", masked_crc32c(content))
    )


def _table(entries: Sequence[Entry]) -> bytes:
    """Encode a table of one block of data, an empty block of metadata, and the list of blocks."""
    data, handles = b"", []
    for content in (_block(entries), _block([])):
        handles.append(varint(len(data)) + varint(len(content)))
        data += _sealed(content)
    listing = _block([(entries[-1][0], handles[0])])
    footer = handles[1] + varint(len(data)) + varint(len(listing))
    return data + _sealed(listing) + footer.ljust(_FOOTER_SIZE, b"\0") + _MAGIC


def _block(entries: Sequence[Entry]) -> bytes:
    """Encode a block that has every key in full, and a single position to start reading at."""
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    return body + struct.pack("<II", 0, 1)


def _sealed(content: bytes) -> bytes:
    return content + _NO_COMPRESSION + struct.pack("<I", masked_crc32c(content, _NO_COMPRESSION))
