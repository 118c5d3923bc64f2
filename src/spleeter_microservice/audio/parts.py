"""What is known about a file from its own bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    """

    cut_off: bool = False
    stated_seconds: float | None = None
    counts_frames: bool = False
    is_whole: bool = False
    encrypted: bool = False
    parts: tuple[Part, ...] = ()
    warnings: tuple[AudioWarning, ...] = ()

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
