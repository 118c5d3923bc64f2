"""Writer of TensorFlow checkpoints; ``checkpoint_reader`` reads them and refers to the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.files import replace_atomically
from spleeter_microservice.models.tensorflow.protobuf import bytes_field, fixed_field, integer_field
from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c, table_of

_SHARD = "data-00000-of-00001"
_DTYPES = {"float32": 1, "int64": 9}
# One data file, little-endian, version 1.
_HEADER = integer_field(1, 1) + bytes_field(3, integer_field(1, 1))


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
        path.write_bytes(table_of(entries))
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
