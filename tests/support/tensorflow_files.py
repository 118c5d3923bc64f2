"""Checkpoints as TensorFlow writes them, with valid checksums unless a test breaks one."""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.models.tensorflow.sorted_table import masked_crc32c

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
HEADER = b"\x08\x01\x1a\x02\x08\x01"  # one data file, little-endian, version 1
FLOAT32, INT64 = 1, 9


def varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def block(entries: Iterable[tuple[bytes, bytes]], kind: int = 0) -> bytes:
    """Return a block with every key written in full, and its trailer."""
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    return sealed(body + struct.pack("<II", 0, 1), kind)


def sealed(content: bytes, kind: int = 0) -> bytes:
    trailer = bytes([kind])
    return content + trailer + struct.pack("<I", masked_crc32c(content + trailer))


def table(*blocks: bytes) -> bytes:
    """Return a table of the blocks, whose index names each by its number."""
    handles, data = [], b""
    for k, content in enumerate(blocks):
        # The key must not be smaller than any in the block, and TensorFlow's are text.
        handles.append((b"\xff%08d" % k, varint(len(data)) + varint(len(content) - 5)))
        data += content
    listing = block(handles)
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(listing) - 5)
    return data + listing + footer.ljust(40, b"\0") + MAGIC


def entry(
    shape: Iterable[int], offset: int, size: int, crc: int, dtype: int = FLOAT32, more: bytes = b""
) -> bytes:
    dimensions = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in shape))
    return (
        b"\x08" + varint(dtype) + b"\x12" + varint(len(dimensions)) + dimensions
        + b"\x20" + varint(offset) + b"\x28" + varint(size) + b"\x35" + struct.pack("<I", crc) + more
    )  # fmt: skip


def write_checkpoint(prefix: Path, arrays: Mapping[str, NDArray[np.generic]]) -> Path:
    """Write arrays of float32 or int64 in one block, and the file that names the checkpoint."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    entries, data = [(b"", HEADER)], b""
    for name in sorted(arrays):
        content = arrays[name].tobytes()
        dtype = INT64 if arrays[name].dtype == np.int64 else FLOAT32
        described = entry(arrays[name].shape, len(data), len(content), masked_crc32c(content), dtype)
        entries.append((name.encode(), described))
        data += content
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(block(entries)))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    (prefix.parent / "checkpoint").write_text(f'model_checkpoint_path: "{prefix.name}"\n')
    return prefix
