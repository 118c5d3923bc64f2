"""Signs in the bytes of an audio file that it is cut off or encrypted.

FFmpeg plays whatever is present and does not report what is missing. These formats state their
length, which distinguishes a file that was cut off from a short one:

- WAV, RF64, AIFF: the size of the sample chunk. Zero and sizes near 2^31 or 2^32 are placeholders
  of programs that cannot go back to the header.
- MP4, M4A, MOV: the sizes of the boxes; the index (moov) must be present.
- Matroska, WebM: the size of the segment, unless it is unknown, as in live recordings.
- Ogg (Vorbis, Opus, FLAC): the last page must be whole, and its position reached.
- ASF (WMA): the size of the file, unless it is a broadcast.
- Matroska and ASF without pictures: also the duration, to the second.
- FLAC, TTA, and MP3 with a Xing, Info or VBRI header: the number of samples or frames.

These go unnoticed: a cut exactly between two pages of Ogg (recordings of web radio lack a last
page as well), between two fragments of fragmented MP4 or live WebM, or in MP3 without such a
header; damage in these places; and anything in ADTS, AC-3, MPEG-TS, W64, CAF and similar formats.
Damaged samples in WAV and AIFF cannot be distinguished from others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol
from uuid import UUID

MAX_CHUNKS = 4096  # limits the time that a hostile file can take
CHUNK_TOLERANCE = 64  # bytes; some programs include the header in the size of the samples

_OGG_MAX_PAGE = 65_307  # bytes
_ASF_HEADER = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_ASF_FILE_PROPERTIES = UUID("8cabdca1-a947-11cf-8ee4-00c00c205365").bytes_le
_ASF_ENCRYPTION = (
    UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e").bytes_le,
    UUID("298ae614-2622-4c17-b935-dae07ee9289c").bytes_le,
)
_MP4_TOP_LEVEL = frozenset(
    b"emsg free ftyp mdat meta mfra moof moov pdin pnot prft sidx skip ssix styp udta uuid wide".split()
)
_MP4_PARENTS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl"))
_MP4_ENCRYPTED = frozenset((b"enca", b"drms", b"aavd"))  # Common Encryption, FairPlay, Audible

ByteOrder = Literal["little", "big"]
Section = tuple[bytes, int, int]


class SeekableFile(Protocol):
    """A file whose ``seek`` returns a negative number for an impossible position."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position and return it."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes."""


@dataclass(frozen=True)
class Structure:
    """Findings about a file from its own bytes.

    Attributes:
        cut_off: the file ends before its stated end.
        stated_seconds: stated duration, if FFmpeg would derive it from the file size instead.
        counts_frames: a header states the number of frames, which makes the duration exact.
        encrypted: the file is protected by DRM.
    """

    cut_off: bool = False
    stated_seconds: float | None = None
    counts_frames: bool = False
    encrypted: bool = False

    @property
    def is_known_audio(self) -> bool:
        """Whether the file is certainly audio, so that it must be damaged if it cannot be read."""
        return self.cut_off or self.counts_frames


def examine(file: SeekableFile) -> Structure:
    """Return the findings about a file, none if its format is unknown, and rewind the file."""
    size = file.seek(0, os.SEEK_END)
    start = _id3_end(file)
    head = _read(file, start, 16)
    try:
        for starts_like, examine_format in _EXAMINERS:
            if starts_like(head):
                return examine_format(file, size)
        return Structure(counts_frames=_mp3_counts_frames(_read(file, start, 8192), size - start))
    finally:
        file.seek(0)


def _read(file: SeekableFile, position: int, size: int) -> bytes:
    return file.read(size) if file.seek(position) == position else b""


def _examine_wav(file: SeekableFile, size: int) -> Structure:
    chunks = {name: (position, length) for name, position, length in _chunks(file, "little", b"data")}
    position, length = chunks.get(b"data", (0, 0))
    if length == 0xFFFFFFFF and b"ds64" in chunks:
        length = int.from_bytes(_read(file, chunks[b"ds64"][0] + 8, 8), "little")
    elif _is_placeholder(length):
        return Structure()
    bytes_per_second = int.from_bytes(_read(file, chunks.get(b"fmt ", (0, 0))[0] + 8, 4), "little")
    return Structure(
        cut_off=position + length > size + CHUNK_TOLERANCE,
        stated_seconds=length / bytes_per_second if bytes_per_second else None,
    )


def _examine_aiff(file: SeekableFile, size: int) -> Structure:
    for name, position, length in _chunks(file, "big", b"SSND"):
        if name == b"SSND" and not _is_placeholder(length):
            return Structure(cut_off=position + length > size + CHUNK_TOLERANCE)
    return Structure()


def _chunks(file: SeekableFile, order: ByteOrder, last: bytes) -> Iterator[Section]:
    """Yield each chunk of a RIFF or IFF file: its name, and its content's position and length."""
    position = 12
    for _ in range(MAX_CHUNKS):
        header = _read(file, position, 8)
        length = int.from_bytes(header[4:], order)
        if len(header) == 8:
            yield header[:4], position + 8, length
        if len(header) < 8 or header[:4] == last:
            return
        position += 8 + length + length % 2


def _is_placeholder(length: int) -> bool:
    return length == 0 or 0x7FFF0000 <= length <= 0x80000000 or length >= 0xFFFF0000


def _boxes(file: SeekableFile, position: int, end: int) -> Iterator[Section]:
    """Yield each box of an MP4 file: its name, and its content's first and last position."""
    while position + 8 <= end:
        header = _read(file, position, 16)
        length, start = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:
            length = end - position
        yield header[4:8], position + start, position + length
        position += max(length, start)


def _examine_mp4(file: SeekableFile, size: int) -> Structure:
    boxes = []
    for box in islice(_boxes(file, 0, size), MAX_CHUNKS):
        if box[0] not in _MP4_TOP_LEVEL:  # something that was appended
            break
        boxes.append(box)
    names = {name for name, _, _ in boxes}
    index = next(((start, end) for name, start, end in boxes if name == b"moov"), (0, 0))
    entries = islice(_descend(file, *index, depth=len(_MP4_PARENTS)), MAX_CHUNKS)
    return Structure(
        cut_off=b"moov" not in names or any(end > size for _, _, end in boxes),
        encrypted=any(name in _MP4_ENCRYPTED for name in entries),
    )


def _descend(file: SeekableFile, start: int, end: int, depth: int) -> Iterator[bytes]:
    """Yield the names of the boxes in an index, down to the sample formats."""
    for name, content, stop in _boxes(file, start, end):
        yield name
        if name in _MP4_PARENTS and depth:
            yield from _descend(file, content, min(stop, end), depth - 1)
        elif name == b"stsd" and depth:  # eight bytes of version and count come first
            yield from _descend(file, content + 8, min(stop, end), 0)


def _examine_matroska(file: SeekableFile, size: int) -> Structure:
    header = _read(file, 4, 8)
    length, used = _ebml_number(header)
    position = 4 + used + length
    segment = _read(file, position, 12)
    if segment[:4] != b"\x18\x53\x80\x67":
        return Structure()
    length, used = _ebml_number(segment[4:])
    unknown = length == (1 << 7 * used) - 1
    return Structure(cut_off=not unknown and position + 4 + used + length > size)


def _ebml_number(data: bytes) -> tuple[int, int]:
    """Return a number of variable length and the bytes that it takes."""
    used = 9 - data[0].bit_length() if data and data[0] else 8
    return int.from_bytes(data[:used], "big") & ((1 << 7 * used) - 1), used


def _examine_ogg(file: SeekableFile, size: int) -> Structure:
    start = max(0, size - 2 * _OGG_MAX_PAGE)
    tail = _read(file, start, size - start)
    page = tail[max(0, tail.rfind(b"OggS\x00")) :]
    # The header ends with the number of segments; their sizes follow.
    header_size = 27 + page[26] if len(page) > 26 else 27
    return Structure(cut_off=len(page) < header_size + sum(page[27:header_size]))


def _examine_asf(file: SeekableFile, size: int) -> Structure:
    end = int.from_bytes(_read(file, 16, 8), "little")
    position, stated, encrypted = 30, 0, False
    for _ in range(MAX_CHUNKS):
        header = _read(file, position, 24)
        length = int.from_bytes(header[16:], "little")
        if position >= end or len(header) < 24 or length < 24:
            break
        encrypted = encrypted or header[:16] in _ASF_ENCRYPTION
        if header[:16] == _ASF_FILE_PROPERTIES:
            content = _read(file, position + 24, 68)
            broadcast = content[64:65] == b"" or content[64] & 1
            stated = 0 if broadcast else int.from_bytes(content[16:24], "little")
        position += length
    return Structure(cut_off=stated > size, encrypted=encrypted)


def _examine_flac(file: SeekableFile, size: int) -> Structure:
    start = _id3_end(file)
    # The last 36 of these bits of STREAMINFO, the first block, are the number of samples, or zero.
    described = int.from_bytes(_read(file, start + 18, 8), "big")
    return Structure(counts_frames=described % (1 << 36) > 0)


def _id3_end(file: SeekableFile) -> int:
    """Return where the sound begins, after any number of ID3v2 tags."""
    position = 0
    for _ in range(MAX_CHUNKS):
        header = _read(file, position, 10)
        if len(header) < 10 or header[:3] != b"ID3":
            break
        length = sum(byte % 128 << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
        position += 10 + length + (10 if header[5] & 0x10 else 0)
    return position


def _mp3_counts_frames(data: bytes, size: int) -> bool:
    """Return whether the first MPEG frame is a Xing, Info or VBRI header that states the frames.

    The header is ignored if the file is much larger than it states, as when several files were
    concatenated. FFmpeg, whose limit is a little higher, then estimates the duration.
    """
    start = next(
        (at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0), len(data)
    )
    frame = data[start : start + 64]
    frames = stated_size = b""
    if frame[36:40] == b"VBRI":
        stated_size, frames = frame[46:50], frame[50:54]
    # Xing and Info follow the side information: 17 bytes for mono and 32 for stereo in MPEG 1, 9
    # and 17 in MPEG 2. Flags tell which of the numbers are present.
    for at in (13, 21, 36):
        if frame[at : at + 4] in (b"Xing", b"Info") and frame[at + 7] & 1:
            frames = frame[at + 8 : at + 12]
            stated_size = frame[at + 12 : at + 16] if frame[at + 7] & 2 else b""
    largest = int.from_bytes(stated_size, "big") * 21 // 20 or size
    return any(frames) and size <= largest


_EXAMINERS: tuple[tuple[Callable[[bytes], bool], Callable[[SeekableFile, int], Structure]], ...] = (
    (lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE", _examine_wav),
    (lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _examine_aiff),
    (lambda head: head[4:8] in _MP4_TOP_LEVEL, _examine_mp4),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _examine_matroska),
    (lambda head: head[:4] == b"OggS", _examine_ogg),
    (lambda head: head == _ASF_HEADER, _examine_asf),
    (lambda head: head[:4] == b"fLaC", _examine_flac),
    (lambda head: head[:4] == b"TTA1", lambda *_: Structure(counts_frames=True)),
)
