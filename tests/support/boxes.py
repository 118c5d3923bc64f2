"""The boxes of MP4 files, parsed as ISO/IEC 14496-12 says and without any code of the package."""

from __future__ import annotations

from dataclasses import dataclass

_CONTAINERS = {"moov", "trak", "edts", "mdia", "minf", "stbl", "udta"}


@dataclass(frozen=True)
class Box:
    """A box: its kind, its content without the head, and the boxes in it."""

    kind: str
    content: bytes
    inner: tuple[Box, ...] = ()

    def all(self, kind: str) -> list[Box]:
        """Return the inner boxes of a kind."""
        return [box for box in self.inner if box.kind == kind]

    def __getitem__(self, kind: str) -> Box:
        (box,) = self.all(kind)
        return box


def boxes(data: bytes, kind: str = "") -> Box:
    """Parse the content of a box, by default a whole file, which must consist of whole boxes."""
    inner, position = [], 0
    while position < len(data) and (not kind or kind in _CONTAINERS):
        size, head = int.from_bytes(data[position : position + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        assert head <= size <= len(data) - position
        inner.append(
            boxes(
                data[position + head : position + size], data[position + 4 : position + 8].decode("latin-1")
            )
        )
        position += size
    return Box(kind, data, tuple(inner))
