"""The boxes of MP4 files, for what FFmpeg neither reads nor writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

_MOST_BOXES = 10_000  # before the one that is looked for
_FULL = frozenset({b"meta"})  # boxes that have a version and flags before the boxes in them


class ReadableFile(Protocol):
    """A file that can be read anywhere."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position and return it."""


class EditableFile(ReadableFile, Protocol):
    """A file that can also be written anywhere."""

    def write(self, data: bytes, /) -> int:
        """Write bytes and return their number."""


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box."""
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def find_boxes(file: ReadableFile, path: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return start and end of each box on a path of kinds, from the outermost to the last that exists."""
    found: list[tuple[int, int]] = []
    start, end = 0, file.seek(0, os.SEEK_END)
    for kind in path:
        for _ in range(_MOST_BOXES):
            file.seek(start)
            head = file.read(16)
            size = int.from_bytes(head[8:] if head[:4] == b"\0\0\0\1" else head[:4], "big")
            if not 8 <= size <= end - start:
                return found
            if head[4:8] == kind:
                break
            start += size
        else:
            return found
        found.append((start, start + size))
        start, end = start + (12 if kind in _FULL else 8), start + size
    return found


def append_boxes(file: EditableFile, path: Sequence[bytes], boxes: bytes) -> None:
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
    file.write(boxes + rest)
    for start, stop in found:
        file.seek(start)
        file.write((stop - start + len(boxes)).to_bytes(4, "big"))
