"""Reader and writer of sorted string tables in LevelDB's format, the format of a checkpoint's index.

A table is a list of blocks, each followed by a trailer (type of compression, CRC-32C),
then a block that lists the blocks, then a footer that points to that list.

Format: https://github.com/google/leveldb/blob/main/doc/table_format.md, with the blocks'
encoding in ``table/block_builder.cc`` and the masking of checksums in ``util/crc32c.h``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import google_crc32c

from spleeter_microservice.models.tensorflow.protobuf import read_varint, varint

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER_SIZE = 48
_TRAILER_SIZE = 5
_NO_COMPRESSION, _SNAPPY = 0, 1
_MASK_DELTA = 0xA282EAD8

# An index of Spleeter has some 400 entries; training adds a few per variable.
_MOST_ENTRIES = 20_000
_LONGEST_KEY = 1024


def read_table(data: bytes) -> dict[str, bytes]:
    """Return all entries of a table, sorted by key.

    Raises:
        ValueError: if the table does not match its checksums, is compressed, or is too large for an index.
    """
    entries: dict[str, bytes] = {}
    last = b""
    for _, handle in _read_block(data, *_list_of_blocks(data)):
        for key, value in _read_block(data, *_read_handle(handle, 0)[:2]):
            # The order also stops a table whose list names one block again and again.
            if entries and key <= last:
                raise ValueError("its keys are not in order")
            if len(entries) == _MOST_ENTRIES:
                raise ValueError(f"it has more than {_MOST_ENTRIES} entries")
            last = key
            entries[key.decode("utf-8")] = value
    return entries


def table_of(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a table of sorted entries: one block of data, an empty one of metadata, and their list."""
    data, handles = b"", []
    for content in (_block(entries), _block([])):
        handles.append(varint(len(data)) + varint(len(content)))
        data += _sealed(content)
    listing = _block([(entries[-1][0], handles[0])])
    footer = handles[1] + varint(len(data)) + varint(len(listing))
    return data + _sealed(listing) + footer.ljust(_FOOTER_SIZE - len(_MAGIC), b"\0") + _MAGIC


def _block(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Encode a block that has every key in full, and a single position to start reading at."""
    body = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries)
    return body + struct.pack("<II", 0, 1)


def _sealed(block: bytes) -> bytes:
    block += bytes([_NO_COMPRESSION])
    return block + struct.pack("<I", masked_crc32c(block))


def masked_crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes, masked as in files: rotated and shifted."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _list_of_blocks(data: bytes) -> tuple[int, int]:
    if len(data) < _FOOTER_SIZE or data[-8:] != _MAGIC:
        raise ValueError("it does not end like a TensorFlow index")
    _, _, at = _read_handle(data, len(data) - _FOOTER_SIZE)
    offset, size, _ = _read_handle(data, at)
    return offset, size


def _read_handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the offset and size of a block, and the position after its handle."""
    offset, at = read_varint(data, at)
    size, at = read_varint(data, at)
    return offset, size, at


def _read_block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    end = offset + size
    if end + _TRAILER_SIZE > len(data) - _FOOTER_SIZE:
        raise ValueError(f"the block at byte {offset} extends beyond the end of the file")
    kind, checksum = struct.unpack("<BI", data[end : end + _TRAILER_SIZE])
    if masked_crc32c(data[offset : end + 1]) != checksum:
        raise ValueError(f"the block at byte {offset} does not match its checksum")
    if kind != _NO_COMPRESSION:
        name = "Snappy" if kind == _SNAPPY else f"method {kind}"
        raise ValueError(f"it is compressed ({name}), unlike TensorFlow checkpoints")
    return _read_entries(data[offset:end])


def _read_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block, in which each key shares its beginning with the previous one."""
    # The entries are followed by the positions of the keys that are written in full, and their number.
    (restarts,) = struct.unpack("<I", block[-4:]) if len(block) >= 4 else (0,)
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block is shorter than its list of restarts")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        fresh, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or shared + fresh > _LONGEST_KEY or at + fresh + length > end:
            raise ValueError("an entry does not fit its block")
        key = key[:shared] + block[at : at + fresh]
        at += fresh + length
        yield key, block[at - length : at]
