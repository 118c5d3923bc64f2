"""The samples of WAV and AIFF files, whatever sizes their headers state.

Recorders that break off, programs that cannot go back to the header, and 32 bits for more than 4 GiB
leave wrong sizes; ``cat`` leaves several files in one. The bytes themselves show where the samples end:
at the end of the file, or where other chunks or another file begin.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from spleeter_microservice.audio.parts import (
    MAX_CHUNKS,
    Part,
    SeekableFile,
    Structure,
    blocks,
    read_at,
    search,
)
from spleeter_microservice.audio.warnings import NOTICEABLE, AudioWarning

CHUNK_TOLERANCE = 64  # bytes; some programs include the header in the size of the samples

# Sizes from here on are more likely placeholders: 1.7 hours of 16-bit stereo.
_INCREDIBLE = 1 << 30
_CD = 44100 * 4  # bytes per second to assume if the header does not say
_EXTENSIBLE = 0xFFFE
_UNCOMPRESSED = (1, 3, 6, 7)  # integers, floats, A-law, µ-law
# Chunks and tags that may follow the samples and be cut off.
_EXTRAS = (b"LIST", b"id3 ", b"ID3", b"JUNK", b"bext", b"iXML", b"_PMX", b"APPL", b"TAG", b"APETAGEX")
_AIFF_PLAIN = (b"", b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"raw ")


@dataclass(frozen=True)
class Family:
    """What distinguishes the two formats that are made of chunks.

    Attributes:
        order: order of the bytes in a number.
        start: pattern of a file's first twelve bytes.
        mark: the part of the pattern to search for; it begins with letters, which makes the search fast.
        offset: position of the mark in the file.
        samples: name of the chunk with the samples.
    """

    order: Literal["little", "big"]
    start: re.Pattern[bytes]
    mark: re.Pattern[bytes]
    offset: int
    samples: bytes

    def number(self, data: bytes) -> int:
        """Return the number in some bytes."""
        return int.from_bytes(data, self.order)


_AIFF_START = re.compile(rb"FORM....AIF[FC]", re.DOTALL)
WAV = Family("little", re.compile(rb"(RIFF|RF64|BW64)....WAVE", re.DOTALL), re.compile(b"WAVE"), 8, b"data")
AIFF = Family("big", _AIFF_START, _AIFF_START, 0, b"SSND")


def examine(family: Family, file: SeekableFile, start: int, size: int) -> Structure:
    """Return the findings about a file, which may be several that were joined.

    Args:
        family: what the file is.
        file: the file.
        start: position of its first byte.
        size: size of the file in bytes.
    """
    parts: list[Part] = []
    warnings: list[AudioWarning] = []
    seconds, cut_off, stated = 0.0, False, None
    while len(parts) < MAX_CHUNKS and family.start.match(read_at(file, start, 12)):
        one = _File(file, family, start, size)
        parts.append(one.part())
        warnings += [AudioWarning(code, text, seconds + at) for code, text, at in one.findings]
        seconds += parts[-1].seconds or 0.0
        cut_off, stated, start = one.cut_off, one.stated_seconds, parts[-1].end
    return Structure(cut_off, stated, parts=tuple(parts), warnings=tuple(warnings))


class _File:
    """One WAV or AIFF file.

    Attributes:
        cut_off: its samples end before their stated end.
        stated_seconds: seconds of sound that its header states, if that is known.
        findings: code, message and position of each contradiction.
    """

    def __init__(self, file: SeekableFile, family: Family, start: int, size: int) -> None:
        self._file, self._family, self._start, self._size = file, family, start, size
        self._chunks = {name: (at, length) for name, at, length in self._walk(start + 12)}
        self._patches: dict[int, bytes] = {}
        self.cut_off = False
        self.stated_seconds: float | None = None
        self.findings: list[tuple[str, str, float]] = []

    def part(self) -> Part:
        """Return the section that has the file's samples, with its header corrected."""
        if self._family.samples not in self._chunks:
            return Part(self._start, self._size)
        at, stated = self._chunks[self._family.samples]
        field = (at - 4, 4)
        if stated == 0xFFFFFFFF and b"ds64" in self._chunks:
            field = (self._chunks[b"ds64"][0] + 8, 8)
            stated = self._number(*field)
        rate = self._wav_rate() if self._family is WAV else self._aiff_rate()
        following = self._following(at + stated)
        if following is not None:
            return self._part(following, stated, rate)
        overflown = self._overflown(at, stated)
        end = overflown or self._next_file(at)
        is_placeholder = _is_placeholder(*field[1:], stated)
        if not is_placeholder:
            if at + stated <= end and not (overflown or self._goes_on(at + stated, end, rate or _CD)):
                return self._part(end, stated, rate)
            self._note_wrong_size(stated, end - at, rate or _CD, end)
        if field[1] == 8 or (at + stated < end and not is_placeholder):
            # The largest 32-bit number makes FFmpeg read to the end of the section.
            size = min(end - at, (1 << 8 * field[1]) - 1)
            self._patches[field[0]] = size.to_bytes(field[1], self._family.order)
        return self._part(end, end - at, rate)

    def _part(self, end: int, samples: int, rate: float | None) -> Part:
        return Part(self._start, end, self._patches, samples / rate if rate and samples else None)

    def _note_wrong_size(self, stated: int, real: int, rate: float, end: int) -> None:
        if real < stated < _INCREDIBLE and end == self._size:
            self.cut_off, self.stated_seconds = True, stated / rate
        elif abs(real - stated) >= NOTICEABLE * rate:
            text = f"The header states {stated / rate:.2f} s of sound, but the file has {real / rate:.2f} s."
            self.findings.append(("wrong-length", text, min(stated, real) / rate))

    def _overflown(self, at: int, stated: int) -> int | None:
        """Return the end of samples of more than 4 GiB, of whose size only 32 bits are stated."""
        ends = range(at + stated + (1 << 32), self._size + 1, 1 << 32)
        return next((end for end in ends if self._following(end) is not None), None)

    def _next_file(self, position: int) -> int:
        """Return where another file begins, or the end of this one."""
        for mark in search(self._file, self._family.mark, position + 8, self._size):
            start = mark - self._family.offset
            if self._family.start.match(read_at(self._file, start, 12)):
                return start
        return self._size

    def _number(self, position: int, size: int) -> int:
        return self._family.number(read_at(self._file, position, size))

    def _walk(self, position: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield each chunk up to the samples: its name, and its content's position and length."""
        for _ in range(MAX_CHUNKS):
            header = read_at(self._file, position, 8)
            length = self._family.number(header[4:])
            if len(header) == 8:
                yield header[:4], position + 8, length
            if len(header) < 8 or header[:4] == self._family.samples:
                return
            position += 8 + length + length % 2

    def _following(self, position: int) -> int | None:
        """Return where the file ends if its samples end at a position, or None if they do not."""
        if position > self._size + CHUNK_TOLERANCE:
            return None
        # Some programs leave out the byte that makes the length of a chunk even.
        ends = (self._after(at) for at in dict.fromkeys((position + position % 2, position)))
        return next((end for end in ends if end is not None), None)

    def _after(self, position: int) -> int | None:
        for _ in range(MAX_CHUNKS):
            head = read_at(self._file, position, 12)
            if self._family.start.match(head):
                return position
            if len(head) < 8 or head.startswith(_EXTRAS):
                return self._size
            position += 8 + self._family.number(head[4:8])
            position += position % 2
            if not re.match(rb"[ -~]{4}", head) or position > self._size + CHUNK_TOLERANCE:
                return None
        return None

    def _goes_on(self, position: int, end: int, rate: float) -> bool:
        """Return whether enough samples follow a position, which are not padding."""
        following = blocks(self._file, position, end)
        return end - position >= NOTICEABLE * rate and any(
            block != bytes(len(block)) for _, block in following
        )

    def _wav_rate(self) -> int | None:
        """Return the bytes of a second of samples that are not compressed; correct a wrong rate."""
        at, length = self._chunks.get(b"fmt ", (0, 0))
        content = read_at(self._file, at, min(length, 40))
        kind, channels, rate, stated, frame, bits = struct.unpack("<HHIIHH", content[:16].ljust(16, b"\0"))
        if kind == _EXTENSIBLE:
            kind = self._family.number(content[24:26])
        size: int = channels * (bits + 7 >> 3)
        if kind not in _UNCOMPRESSED or not 0 < size < 1 << 16 or not rate:
            return None
        if (stated, frame) != (rate * size, size) and rate * size < 1 << 32:
            self._patches[at + 8] = struct.pack("<IH", rate * size, size)
            text = f"The header states {stated} bytes per second instead of {rate * size}."
            self.findings.append(("wrong-header", text, 0.0))
        return int(rate * size)

    def _aiff_rate(self) -> float | None:
        content = read_at(self._file, self._chunks.get(b"COMM", (0, 0))[0], 22)
        if content[18:] not in _AIFF_PLAIN or len(content) < 18:
            return None
        channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", content[:18])
        rate = math.ldexp(mantissa, min(exponent, 17_000) - 16_383 - 63)  # 80-bit float
        return float(rate * channels * (bits + 7 >> 3)) or None


def _is_placeholder(width: int, length: int) -> bool:
    """Return whether a size, a number of some bytes, is one that programs write before they know it."""
    if width > 4:
        return not 0 < length < 1 << 62
    return length == 0 or 0x7FFF0000 <= length <= 0x80000000 or length >= 0xFFFF0000
