"""What is known about a file from its own bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise, starmap
from typing import Protocol

from spleeter_microservice.audio.warnings import AudioWarning

MAX_CHUNKS = 4096  # limits the time that a hostile file can take

_BLOCK = 1 << 20  # bytes
_LONGEST_MATCH = 64


class SeekableFile(Protocol):
    """A file whose ``seek`` returns a negative number for an impossible position."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position and return it."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes."""


@dataclass(frozen=True)
class Part:
    """A section of a file that is decoded as a file of its own.

    Attributes:
        start, end: its positions in the file.
        patches: bytes that replace those of the file, by their position in the file.
        seconds: duration, if FFmpeg would derive a wrong one.
    """

    start: int
    end: int
    patches: Mapping[int, bytes] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Structure:
    """Findings about a file from its own bytes.

    Attributes:
        cut_off: the file ends before its stated end.
        stated_seconds: stated duration of a file that is cut off, if FFmpeg does not know it.
        counts_frames: a header states the number of frames, which makes the duration exact.
        is_whole: the file has all the bytes that a header states.
        encrypted: the file is protected by DRM.
        parts: sections to decode one after the other; none stands for the whole file.
        warnings: contradictions in the headers.
        unread: bytes after the last part that belong to none, tags and zeros apart.
    """

    cut_off: bool = False
    stated_seconds: float | None = None
    counts_frames: bool = False
    is_whole: bool = False
    encrypted: bool = False
    parts: tuple[Part, ...] = ()
    warnings: tuple[AudioWarning, ...] = ()
    unread: int = 0

    @property
    def is_known_audio(self) -> bool:
        """Whether the file is certainly audio, so that it must be damaged if it cannot be read."""
        return self.cut_off or self.counts_frames


def read_at(file: SeekableFile, position: int, size: int) -> bytes:
    """Return at most ``size`` bytes from a position, none if it does not exist."""
    return file.read(size) if file.seek(position) == position else b""


def blocks(file: SeekableFile, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the positions and the bytes of a section, in blocks."""
    while start < end and (block := read_at(file, start, min(_BLOCK, end - start))):
        yield start, block
        start += len(block)


def search(file: SeekableFile, pattern: re.Pattern[bytes], start: int, end: int) -> Iterator[int]:
    """Yield each position in a section where a pattern of at most 64 bytes matches."""
    held = b""
    for position, block in blocks(file, start, end):
        data = held + block
        begin = position - len(held)
        for match in pattern.finditer(data):
            if len(data) - match.start() > _LONGEST_MATCH or begin + len(data) >= end:
                yield begin + match.start()
        held = data[-_LONGEST_MATCH:]


def split(file: SeekableFile, start_of_file: re.Pattern[bytes], start: int, size: int) -> tuple[Part, ...]:
    """Return the parts of a section in which several files of one format may have been joined."""
    found = islice(search(file, start_of_file, start, size), MAX_CHUNKS)
    edges = [start, *(position for position in found if position > start), size]
    return tuple(starmap(Part, pairwise(edges)))


def after_tags(file: SeekableFile, position: int, size: int) -> int:
    """Return the position behind any tags that begin at a position."""
    for _ in range(MAX_CHUNKS):
        length = _tag_length(read_at(file, position, 32))
        if not length:
            break
        position += length
    return min(position, size)


def _tag_length(header: bytes) -> int:
    """Return the bytes of a tag (ID3v2, APEv2 or ID3v1), or 0 if this is none."""
    if header[:3] == b"ID3" and len(header) > 9:
        length = sum(byte % 128 << shift for byte, shift in zip(header[6:10], (21, 14, 7, 0), strict=True))
        return 10 + length + (10 if header[5] & 0x10 else 0)
    if header[:8] == b"APETAGEX" and len(header) == 32:
        is_header = header[23] & 0x20  # the footer is counted
        return 32 + (int.from_bytes(header[12:16], "little") if is_header else 0)
    return 128 if header[:3] == b"TAG" else 0
