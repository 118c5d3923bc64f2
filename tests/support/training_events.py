"""Reads TensorBoard's event files."""

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from spleeter_microservice.models.tensorflow.protobuf import read_fields


def events(path: Path) -> Iterator[bytes]:
    """Yield the content of each record."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at : at + 8])
        yield data[at + 12 : at + 12 + length]
        at += 16 + length


def numbers(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the (step, number) pairs of each curve from all files of a folder."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        for event in events(path):
            fields = dict(read_fields(event))
            summary, step = fields.get(5, b""), fields.get(2, 0)
            assert isinstance(summary, bytes)
            assert isinstance(step, int)
            for _, value in read_fields(summary):
                assert isinstance(value, bytes)
                parts = dict(read_fields(value))
                name, number = parts[1], parts[2]
                assert isinstance(name, bytes)
                assert isinstance(number, int)
                (single,) = struct.unpack("<f", struct.pack("<I", number))
                curves[name.decode()].append((step, single))
    return dict(curves)
