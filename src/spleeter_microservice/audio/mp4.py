"""The boxes of MP4 files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from spleeter_microservice.audio.parts import SeekableFile, read_at

_MOST_BOXES = 10_000  # before the one that is looked for
_FULL = frozenset({b"meta"})  # boxes that have a version and flags before the boxes in them


class EditableFile(SeekableFile, Protocol):
    """A file that can be read and written anywhere."""

    def write(self, data: bytes, /) -> int:
        """Write bytes and return their number."""


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box."""
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def boxes(file: SeekableFile, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box in a section of a file: its kind, and its content's first and last position."""
    while position + 8 <= end:
        header = read_at(file, position, 16)
        length, start = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:
            length = end - position
        yield header[4:8], position + start, position + length
        position += max(length, start)


def find_boxes(file: SeekableFile, path: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return where the content of each box on a path begins and ends, from the outermost that exists."""
    found: list[tuple[int, int]] = []
    start, end = 0, file.seek(0, os.SEEK_END)
    for kind in path:
        for name, content, stop in islice(boxes(file, start, end), _MOST_BOXES):
            if name == kind and content <= stop <= end:
                found.append((content, stop))
                start, end = content + (4 if kind in _FULL else 0), stop
                break
        else:
            break
    return found


def append_boxes(file: EditableFile, path: Sequence[bytes], added: bytes) -> None:
    """Append boxes inside the last box on a path that begins with the index at the end of a file.

    Raises:
        OSError: if the file is not complete, or cannot be read or written.
    """
    found = find_boxes(file, path)
    if len(found) < len(path):
        raise OSError("its index is incomplete")
    end, behind = found[-1][1], found[0][1]
    file.seek(end)
    rest = file.read(behind - end)
    file.seek(end)
    file.write(added + rest)
    for start, stop in found:
        file.seek(start - 8)
        file.write((8 + stop - start + len(added)).to_bytes(4, "big"))
