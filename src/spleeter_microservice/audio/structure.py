"""Signs in the bytes of an audio file that it is cut off, encrypted or made of several files.

FFmpeg plays whatever is present and does not report what is missing. These formats state their
length, which distinguishes a file that was cut off from a short one:

- WAV, RF64, AIFF: the size of the sample chunk (``chunks``). Zero and sizes near 2^31 or 2^32 are
  placeholders of programs that cannot go back to the header.
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
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise, starmap
from uuid import UUID

from spleeter_microservice.audio import chunks, ogg
from spleeter_microservice.audio.parts import MAX_CHUNKS, Part, SeekableFile, Structure, read_at, search

_ASF_HEADER = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_ASF_FILE_PROPERTIES = UUID("8cabdca1-a947-11cf-8ee4-00c00c205365").bytes_le
_ASF_ENCRYPTION = (
    UUID("2211b3fb-bd23-11d2-b4b7-00a0c955fc6e").bytes_le,
    UUID("298ae614-2622-4c17-b935-dae07ee9289c").bytes_le,
)
_MP4_TOP_LEVEL = frozenset(
    b"emsg free ftyp mdat meta mfra moof moov pdin pnot prft sidx skip ssix styp udta uuid wide".split()
)
_MP4_SOUND = frozenset((b"mdat", b"moof", b"moov"))
_MP4_PARENTS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl"))
_MP4_ENCRYPTED = frozenset((b"enca", b"drms", b"aavd"))  # Common Encryption, FairPlay, Audible
_FLAC_FILE = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
# Frames of layer III: MPEG 1, 2 and 2.5, with a checksum or without.
_MPEG_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]")
_MPEG_FRAMES = 10  # in a row are no coincidence
_MPEG_SEARCH = 4 << 20  # bytes
_MPEG1_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KILOBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

Section = tuple[bytes, int, int]


def examine(file: SeekableFile) -> Structure:
    """Return the findings about a file, none if its format is unknown, and rewind the file."""
    size = file.seek(0, os.SEEK_END)
    start = _sound_start(file, size)
    head = read_at(file, start, 16)
    try:
        for starts_like, examine_format in _EXAMINERS:
            if starts_like(head):
                found = examine_format(file, start, size)
                break
        else:
            found = _examine_mp3(file, start, size)
        # FFmpeg recognises no format but MP3 behind a tag with a large picture.
        return replace(found, parts=found.parts or (Part(start, size),))
    finally:
        file.seek(0)


def _boxes(file: SeekableFile, position: int, end: int) -> Iterator[Section]:
    """Yield each box of an MP4 file: its name, and its content's first and last position."""
    while position + 8 <= end:
        header = read_at(file, position, 16)
        length, start = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:
            length = end - position
        yield header[4:8], position + start, position + length
        position += max(length, start)


def _examine_mp4(file: SeekableFile, start: int, size: int) -> Structure:
    boxes = []
    for box in islice(_boxes(file, start, size), MAX_CHUNKS):
        if box[0] not in _MP4_TOP_LEVEL and box[2] > size:  # something that was appended
            break
        boxes.append(box)
    names = {name for name, _, _ in boxes}
    index = next(((start, end) for name, start, end in boxes if name == b"moov"), (0, 0))
    entries = islice(_descend(file, *index, depth=len(_MP4_PARENTS)), MAX_CHUNKS)
    return Structure(
        cut_off=b"moov" not in names or any(end > size for name, _, end in boxes if name in _MP4_SOUND),
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


def _examine_matroska(file: SeekableFile, start: int, size: int) -> Structure:
    length, used = _ebml_number(read_at(file, start + 4, 8))
    position = start + 4 + used + length
    segment = read_at(file, position, 12)
    if segment[:4] != b"\x18\x53\x80\x67":
        return Structure()
    length, used = _ebml_number(segment[4:])
    unknown = length == (1 << 7 * used) - 1
    return Structure(cut_off=not unknown and position + 4 + used + length > size)


def _ebml_number(data: bytes) -> tuple[int, int]:
    """Return a number of variable length and the bytes that it takes."""
    used = 9 - data[0].bit_length() if data and data[0] else 8
    return int.from_bytes(data[:used], "big") & ((1 << 7 * used) - 1), used


def _examine_asf(file: SeekableFile, start: int, size: int) -> Structure:
    end = start + int.from_bytes(read_at(file, start + 16, 8), "little")
    position, stated, encrypted = start + 30, 0, False
    for _ in range(MAX_CHUNKS):
        header = read_at(file, position, 24)
        length = int.from_bytes(header[16:], "little")
        if position >= end or len(header) < 24 or length < 24:
            break
        encrypted = encrypted or header[:16] in _ASF_ENCRYPTION
        if header[:16] == _ASF_FILE_PROPERTIES:
            content = read_at(file, position + 24, 68)
            broadcast = content[64:65] == b"" or content[64] & 1
            stated = 0 if broadcast else int.from_bytes(content[16:24], "little")
        position += length
    return Structure(cut_off=start + stated > size, encrypted=encrypted)


def _examine_flac(file: SeekableFile, start: int, size: int) -> Structure:
    # FFmpeg takes several files that were joined for one, with the rate and the channels of the first.
    edges = [*islice(search(file, _FLAC_FILE, start, size), MAX_CHUNKS), size]
    # The last 36 of these bits of STREAMINFO, the first block, are the number of samples, or zero.
    described = int.from_bytes(read_at(file, (edges[-2:-1] or [start])[0] + 18, 8), "big")
    return Structure(counts_frames=described % (1 << 36) > 0, parts=tuple(starmap(Part, pairwise(edges))))


def _sound_start(file: SeekableFile, size: int) -> int:
    """Return where the sound begins, after any number of ID3v2 tags."""
    position = 0
    for _ in range(MAX_CHUNKS):
        header = read_at(file, position, 10)
        if len(header) < 10 or header[:3] != b"ID3":
            break
        length = sum(byte % 128 << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
        position += 10 + length + (10 if header[5] & 0x10 else 0)
    return position if position < size else 0


def _examine_mp3(file: SeekableFile, start: int, size: int) -> Structure:
    """Look for a Xing, Info or VBRI header, the first MPEG frame, which states the number of frames.

    The header is ignored if the file is much larger than it states, as when several files were
    concatenated. FFmpeg, whose limit is a little higher, then estimates the duration.
    """
    data = read_at(file, start, 8192)
    first = next(
        (at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] & 0xE0 == 0xE0), len(data)
    )
    frame = data[first : first + 64]
    frames = stated_size = b""
    if frame[36:40] == b"VBRI":
        stated_size, frames = frame[46:50], frame[50:54]
    # Xing and Info follow the side information: 17 bytes for mono and 32 for stereo in MPEG 1, 9
    # and 17 in MPEG 2. Flags tell which of the numbers are present.
    for at in (13, 21, 36):
        if frame[at : at + 4] in (b"Xing", b"Info") and frame[at + 7] & 1:
            frames = frame[at + 8 : at + 12]
            stated_size = frame[at + 12 : at + 16] if frame[at + 7] & 2 else b""
    stated, real = int.from_bytes(stated_size, "big"), size - start
    return Structure(
        counts_frames=any(frames) and real <= (stated * 21 // 20 or real), is_whole=0 < stated <= real
    )


def find_mpeg_frames(file: SeekableFile) -> int | None:
    """Return the position of the first frames of MP3 behind other data, which FFmpeg would not find."""
    data = read_at(file, 0, _MPEG_SEARCH)
    for match in _MPEG_FRAME.finditer(data):
        position, first = match.start(), match[0][1:3]
        for _ in range(_MPEG_FRAMES):
            header = data[position : position + 4]
            # All frames of a stream have one version, layer and sample rate.
            if len(header) < 4 or header[0] != 0xFF or header[1] != first[0] or (header[2] ^ first[1]) & 0x0C:
                break
            position += _mpeg_frame_size(header)
        else:
            return match.start()
    return None


def _mpeg_frame_size(header: bytes) -> int:
    """Return the number of bytes of a frame, or 1 if the header is none."""
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if bitrate in (0, 15) or rate == 3:
        return 1
    bits = (_MPEG1_KILOBITS if version == 3 else _MPEG2_KILOBITS)[bitrate - 1] * 1000
    hertz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1}.get(version, 2)
    return (144 if version == 3 else 72) * bits // hertz + (header[2] >> 1 & 1)


_EXAMINERS: tuple[tuple[Callable[[bytes], object], Callable[[SeekableFile, int, int], Structure]], ...] = (
    (chunks.WAV.start.match, partial(chunks.examine, chunks.WAV)),
    (chunks.AIFF.start.match, partial(chunks.examine, chunks.AIFF)),
    (lambda head: head[4:8] in _MP4_TOP_LEVEL, _examine_mp4),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _examine_matroska),
    (lambda head: head[:4] == b"OggS", ogg.examine),
    (lambda head: head == _ASF_HEADER, _examine_asf),
    (lambda head: head[:4] == b"fLaC", _examine_flac),
    (lambda head: head[:4] == b"TTA1", lambda *_: Structure(counts_frames=True)),
)
