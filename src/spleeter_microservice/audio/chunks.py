"""The samples of WAV, AIFF and similar files, whatever sizes their headers state.

Recorders that break off, programs that cannot go back to the header, and 32 bits for more than 4 GiB
leave wrong sizes; ``cat`` leaves several files in one. The bytes themselves show where the samples end:
at the end of the file, or where other chunks or another file begin.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice

from spleeter_microservice.audio.chunk_families import LONGEST_START, Family, wav_rate
from spleeter_microservice.audio.parts import (
    MAX_CHUNKS,
    Part,
    SeekableFile,
    Structure,
    after_tags,
    blocks,
    read_at,
    search,
)
from spleeter_microservice.audio.warnings import NOTICEABLE, AudioWarning

CHUNK_TOLERANCE = 64  # bytes; some programs include the header in the size of the samples

# Sizes from here on are more likely placeholders: 1.7 hours of 16-bit stereo.
_INCREDIBLE = 1 << 30
_CD = 44100 * 4  # bytes per second to assume if the header does not say
# Chunks that may follow the samples and be cut off.
_EXTRAS = (b"LIST", b"id3 ", b"JUNK", b"bext", b"iXML", b"_PMX", b"APPL")
# What may follow the samples and belongs to another file, or to none.
_OTHERS = re.compile(
    rb"fLaC\0|OggS\0\x02|\x1aE\xdf\xa3|RIFF|FORM|....ftyp|ID3[\x02-\x04]|APETAGEX|TAG", re.DOTALL
)
_LONGEST_HEADER = 4096
_MOST_CHUNKS = 4 * MAX_CHUNKS  # to read of all files that were joined


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
    turns = iter(range(_MOST_CHUNKS))
    while len(parts) < MAX_CHUNKS and family.start.match(read_at(file, start, LONGEST_START)):
        one = _File(file, family, start, size, turns)
        parts.append(one.part())
        warnings += [AudioWarning(code, text, seconds + at) for code, text, at in one.findings]
        seconds += parts[-1].seconds or 0.0
        cut_off, stated = one.cut_off, one.stated_seconds
        start = after_tags(file, parts[-1].end, size)
    return Structure(cut_off, stated, parts=tuple(parts), warnings=tuple(warnings))


class _File:
    """One file, which others may follow.

    Attributes:
        cut_off: its samples end before their stated end.
        stated_seconds: seconds of sound that its header states, if that is known.
        findings: code, message and position of each contradiction.
    """

    def __init__(
        self, file: SeekableFile, family: Family, start: int, size: int, turns: Iterator[int]
    ) -> None:
        self._file, self._family, self._start, self._size, self._turns = file, family, start, size, turns
        self._chunks = {name: (at, length) for name, at, length in self._walk(start + family.first)}
        self._patches: dict[int, bytes] = {}
        self._usual_rate = _CD
        self.cut_off = False
        self.stated_seconds: float | None = None
        self.findings: list[tuple[str, str, float]] = []

    def part(self) -> Part:
        """Return the section that has the file's samples, with its header corrected."""
        if self._family.samples not in self._chunks:
            return Part(self._start, self._size)
        at, stated = self._chunks[self._family.samples]
        family = self._family
        at_field = at - family.width if family.length_at is None else self._start + family.length_at
        width = family.width
        self._patch_outer_size()
        if stated == 0xFFFFFFFF and b"ds64" in self._chunks:
            at_field, width = self._chunks[b"ds64"][0] + 8, 8
            stated = self._number(at_field, width)
        rate = self._rate()
        following = self._following(at + stated)
        if following is not None:
            return self._part(following, stated, rate)
        overflown = self._overflown(at, stated)
        end = overflown or self._next_file(at)
        speed = rate or self._usual_rate
        if not stated:
            self._note_wrong_size(stated, end - at, speed, end)
        elif not _is_placeholder(width, stated):
            if at + stated <= end and not (overflown or self._goes_on(at + stated, end, speed)):
                return self._part(end, stated, rate)
            self._note_wrong_size(stated, end - at, speed, end)
        if not self.cut_off:
            # The largest 32-bit number makes FFmpeg read to the end of the section.
            size = max(0, min(end - at + family.included, (1 << 8 * width) - 1))
            self._patches[at_field] = size.to_bytes(width, family.order)
        return self._part(end, end - at, rate)

    def _patch_outer_size(self) -> None:
        """Replace a size of zero before the first chunk, at which FFmpeg would stop."""
        width, at = self._family.width, self._start + self._family.name
        if at + width < self._start + self._family.first and not self._number(at, width):
            size = min(self._size - self._start, (1 << 8 * width) - 1)
            self._patches[at] = size.to_bytes(width, self._family.order)

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
        family = self._family
        marks = search(self._file, family.mark or family.start, position + family.mark_at, self._size)
        for mark in islice(marks, MAX_CHUNKS):
            if self._is_start(mark - family.mark_at):
                return mark - family.mark_at
        return self._size

    def _is_start(self, position: int) -> bool:
        return bool(self._family.start.match(read_at(self._file, position, LONGEST_START)))

    def _number(self, position: int, size: int) -> int:
        return self._family.number(read_at(self._file, position, size))

    def _walk(self, position: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield each chunk up to the samples: its name, and its content's position and length."""
        family = self._family
        if family.length_at is not None:
            yield family.header, position + 4, _LONGEST_HEADER
            yield family.samples, self._start + self._number(position - 4, 4), self._number(position, 4)
            return
        size = family.name + family.width
        for _ in self._turns:
            header = read_at(self._file, position, size)
            length = max(0, family.number(header[family.name :]) - family.included)
            name = header[:4]
            if len(header) == size:
                yield name, position + size, length
            if len(header) < size or name == family.samples:
                return
            position = self._aligned(position + size + length)

    def _aligned(self, position: int) -> int:
        """Return where the next chunk begins, if one ends at a position."""
        return position + (self._start - position) % self._family.align

    def _following(self, position: int) -> int | None:
        """Return where the file ends if its samples end at a position, or None if they do not."""
        if position > self._size + CHUNK_TOLERANCE:
            return None
        # Some programs leave out the byte that makes the length of a chunk even.
        ends = (self._after(at) for at in dict.fromkeys((self._aligned(position), position)))
        return next((end for end in ends if end is not None), None)

    def _after(self, position: int) -> int | None:
        family = self._family
        size, found = family.name + family.width, None
        for _ in self._turns:
            head = read_at(self._file, position, LONGEST_START)
            if family.start.match(head) or _OTHERS.match(head):
                return position
            if len(head) < size or head.startswith(_EXTRAS):
                return self._size
            length = family.number(head[family.name : size]) - family.included
            position = self._aligned(position + size + length)
            if not family.names.match(head) or length < 0 or position > self._size + CHUNK_TOLERANCE:
                break
            found = position
        return found

    def _goes_on(self, position: int, end: int, rate: float) -> bool:
        """Return whether enough samples follow a position, which are not padding."""
        following = blocks(self._file, position, end)
        return end - position >= NOTICEABLE * rate and any(
            block != bytes(len(block)) for _, block in following
        )

    def _rate(self) -> float | None:
        """Return the bytes of a second of samples, if that is known; correct a wrong one."""
        at, length = self._chunks.get(self._family.header, (0, 0))
        content = read_at(self._file, at, min(length, _LONGEST_HEADER))
        rate = self._family.rate(content)
        if self._family.rate is wav_rate:
            hertz, stated, frame = struct.unpack("<IIH", content[4:14].ljust(10, b"\0"))
            self._usual_rate = stated or _CD
            if rate and (stated, frame) != (rate, rate // hertz) and rate < 1 << 32:
                self._patches[at + 8] = struct.pack("<IH", int(rate), int(rate // hertz))
                text = f"The header states {stated} bytes per second instead of {rate:.0f}."
                self.findings.append(("wrong-header", text, 0.0))
        return rate


def _is_placeholder(width: int, length: int) -> bool:
    """Return whether a size, a number of some bytes, is one that programs write before they know it."""
    if width > 4:
        return length >= 1 << 62
    return 0x7FFF0000 <= length <= 0x80000000 or length >= 0xFFFF0000
