"""Signs in the bytes of an audio file that it is cut off, encrypted or made of several files.

FFmpeg plays whatever is present and does not report what is missing. These formats state their
length, which distinguishes a file that was cut off from a short one:

- WAV, RF64, W64, AIFF, CAF, AU, DSF, DFF: the size of the samples (``chunks``). Sizes near 2^31 or 2^32
  are placeholders of programs that cannot go back to the header.
- MP4, M4A, MOV: the sizes of the boxes; the index (moov) must be present.
- Matroska, WebM: the size of the segment, unless it is unknown, as in live recordings.
- Ogg (Vorbis, Opus, FLAC): the last page must be whole, and its position reached.
- ASF (WMA) and AVI: the size of the file, unless it is a broadcast.
- Matroska, ASF, AVI, FLV and RealMedia without pictures: also the duration, to the second.
- FLAC, TTA, WavPack, and MP3 with a Xing, Info or VBRI header: the number of samples or frames.

These go unnoticed: a cut exactly between two pages of Ogg (recordings of web radio lack a last
page as well), between two fragments of fragmented MP4 or live WebM, or in MP3 without such a
header; damage in these places; and anything in ADTS, AC-3, MPEG-TS and similar formats.
Damaged samples in WAV and the like cannot be distinguished from others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice, pairwise, starmap
from uuid import UUID

from spleeter_microservice.audio import chunks, ogg
from spleeter_microservice.audio.chunk_families import FAMILIES
from spleeter_microservice.audio.mp4 import boxes
from spleeter_microservice.audio.parts import (
    MAX_CHUNKS,
    Part,
    SeekableFile,
    Structure,
    after_tags,
    blocks,
    read_at,
    split,
)

_ASF_HEADER = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_ASF_FILE = re.compile(re.escape(_ASF_HEADER))
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
_EBML = b"\x1a\x45\xdf\xa3"
_FEWEST_UNREAD = 4096  # bytes
_FLAC_FILE = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_TTA_FILE = re.compile(rb"TTA1[\x01-\x03]\0[^\0]\0[\x08\x10\x18\x20]\0")
_AVI_FILE = re.compile(rb"RIFF....AVI LIST", re.DOTALL)
# A block with the first samples, and the first of their channels.
_WAVPACK_FILE = re.compile(
    rb"wvpk.{4}[\x02-\x10]\x04.{6}\0{4}(?!\0{4}).{5}[\x08-\x0f\x18-\x1f\x28-\x2f\x38-\x3f\x48-\x4f\x58-\x5f]",
    re.DOTALL,
)
# Beginnings of other files, behind which FFmpeg reads on in the same format, or not at all.
_JOINABLE = tuple(
    re.compile(start, re.DOTALL)
    for start in (
        rb"FLV\x01[\0\x01\x04\5]\0\0\0\x09",
        rb"#!AMR(-WB)?\n",
        rb"Creative Voice File\x1a",
        rb"\.RMF\0\0\0\x12\0[\0\x01]",
        rb"nut/multimedia container\0",
        rb"MAC ..\0\0\x34\0\0\0",
        rb"MPCKSH",
        rb"\xb7\xd8\0\x20\x37\x49\xda\x11\xa6\x4e\0\x07\xe9\x5e\xad\x8d",  # WTV
    )
)
# Frames of layer III: MPEG 1, 2 and 2.5, with a checksum or without.
_MPEG_FRAME = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]")
_MPEG_FRAMES = 10  # in a row are no coincidence
_SEARCH = 4 << 20  # bytes
_MPEG1_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KILOBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def examine(file: SeekableFile) -> Structure:
    """Return the findings about a file, none if its format is unknown, and rewind the file."""
    size = file.seek(0, os.SEEK_END)
    start = after_tags(file, 0, size) % size if size else 0  # a file may be nothing but tags
    head = read_at(file, start, 64)
    try:
        for starts_like, examine_format in _EXAMINERS:
            if starts_like(head):
                found = examine_format(file, start, size)
                break
        else:
            found = _examine_mp3(file, start, size)
        # FFmpeg recognises no format but MP3 behind a tag with a large picture.
        parts = found.parts or (Part(start, size),)
        rest = after_tags(file, size - found.unread if found.unread else parts[-1].end, size)
        return replace(found, parts=parts, unread=_unread(file, rest, size))
    finally:
        file.seek(0)


def _unread(file: SeekableFile, start: int, size: int) -> int:
    """Return the number of bytes from a position on, unless they are too few for sound or all are zero."""
    is_empty = all(block == bytes(len(block)) for _, block in blocks(file, start, size))
    return 0 if size - start < _FEWEST_UNREAD or is_empty else size - start


def _examine_mp4(file: SeekableFile, start: int, size: int) -> Structure:
    found = []
    for box in islice(boxes(file, start, size), MAX_CHUNKS):
        if box[0] not in _MP4_TOP_LEVEL and box[2] > size:  # something that was appended
            break
        found.append(box)
    names = {name for name, _, _ in found}
    indexes = (_descend(file, at, end, depth=len(_MP4_PARENTS)) for name, at, end in found if name == b"moov")
    entries = islice(chain.from_iterable(indexes), MAX_CHUNKS)
    # Files that were joined begin with "ftyp"; another box may be before it.
    edges, has_sound = [start], False
    for name, at, _ in found:
        edges += [at - 8] if name == b"ftyp" and has_sound else []
        has_sound = name in _MP4_SOUND or (has_sound and name != b"ftyp")
    samples = max((end - at for name, at, end in found if name == b"mdat"), default=0)
    return Structure(
        cut_off=b"moov" not in names or any(end > size for name, _, end in found if name in _MP4_SOUND),
        encrypted=any(name in _MP4_ENCRYPTED for name in entries),
        parts=tuple(starmap(Part, pairwise([*edges, size]))),
        # A tiny size of the samples is wrong; they are what follows.
        unread=max(0, size - found[-1][2]) if samples >= _FEWEST_UNREAD else 0,
    )


def _descend(file: SeekableFile, start: int, end: int, depth: int) -> Iterator[bytes]:
    """Yield the names of the boxes in an index, down to the sample formats."""
    for name, content, stop in boxes(file, start, end):
        yield name
        if name in _MP4_PARENTS and depth:
            yield from _descend(file, content, min(stop, end), depth - 1)
        elif name == b"stsd" and depth:  # eight bytes of version and count come first
            yield from _descend(file, content + 8, min(stop, end), 0)


def _examine_matroska(file: SeekableFile, start: int, size: int) -> Structure:
    edges, end = [start], start
    while read_at(file, end, 4) == _EBML and len(edges) < MAX_CHUNKS:
        edges += [end] if end > start else []
        length, used = _ebml_number(read_at(file, end + 4, 8))
        position = end + 4 + used + length
        segment = read_at(file, position, 12)
        length, used = _ebml_number(segment[4:])
        if segment[:4] != b"\x18\x53\x80\x67" or length == (1 << 7 * used) - 1:  # the size is unknown
            end = start
            break
        end = position + 4 + used + length
    return Structure(cut_off=end > size, parts=tuple(starmap(Part, pairwise([*edges, size]))))


def _ebml_number(data: bytes) -> tuple[int, int]:
    """Return a number of variable length and the bytes that it takes."""
    used = 9 - data[0].bit_length() if data and data[0] else 8
    return int.from_bytes(data[:used], "big") & ((1 << 7 * used) - 1), used


def _examine_asf(file: SeekableFile, start: int, size: int) -> Structure:
    examined = [_examine_asf_part(file, part) for part in split(file, _ASF_FILE, start, size)]
    return replace(
        examined[-1],
        encrypted=any(one.encrypted for one in examined),
        parts=tuple(part for one in examined for part in one.parts),
    )


def _examine_asf_part(file: SeekableFile, part: Part) -> Structure:
    end = part.start + int.from_bytes(read_at(file, part.start + 16, 8), "little")
    position, stated, encrypted, patches = part.start + 30, 0, False, {}
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
            # If the size is wrong, FFmpeg does not believe the duration either.
            patches = {position + 40: (part.end - part.start).to_bytes(8, "little")}
        position += length
    cut_off = part.start + stated > part.end
    return Structure(cut_off=cut_off, encrypted=encrypted, parts=(replace(part, patches=patches),))


def _examine_flac(file: SeekableFile, start: int, size: int) -> Structure:
    parts = split(file, _FLAC_FILE, start, size)
    # The last 36 of these bits of STREAMINFO, the first block, are the number of samples, or zero.
    described = int.from_bytes(read_at(file, parts[-1].start + 18, 8), "big")
    return Structure(counts_frames=described % (1 << 36) > 0, parts=parts)


def _examine_wavpack(file: SeekableFile, start: int, size: int) -> Structure:
    parts = split(file, _WAVPACK_FILE, start, size)
    known = read_at(file, parts[-1].start + 12, 4) != b"\xff" * 4  # the number of samples
    return Structure(counts_frames=known, parts=parts)


def _examine_avi(file: SeekableFile, start: int, size: int) -> Structure:
    parts = split(file, _AVI_FILE, start, size)
    stated = int.from_bytes(read_at(file, (last := parts[-1].start) + 4, 4), "little")
    is_whole = last + stated <= size
    return Structure(cut_off=0 < stated < 1 << 30 and not is_whole, is_whole=is_whole, parts=parts)


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
    # and 17 in MPEG 2. Flags state which of the numbers are present.
    for at in (13, 21, 36):
        flags = int.from_bytes(frame[at + 4 : at + 8], "big")  # 0 if the file ends before them
        if frame[at : at + 4] in (b"Xing", b"Info") and flags & 1:
            frames = frame[at + 8 : at + 12]
            stated_size = frame[at + 12 : at + 16] if flags & 2 else b""
    stated, real = int.from_bytes(stated_size, "big"), size - start
    return Structure(
        counts_frames=any(frames) and real <= (stated * 21 // 20 or real), is_whole=0 < stated <= real
    )


def find_sound(file: SeekableFile) -> int | None:
    """Return the position of the first page of Ogg or frames of MP3 behind other data, or None."""
    data = read_at(file, 0, _SEARCH)
    if page := ogg.FIRST_PAGE.search(data):
        return page.start()
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


def _examine_joined(start_of_file: re.Pattern[bytes], file: SeekableFile, start: int, size: int) -> Structure:
    return Structure(parts=split(file, start_of_file, start, size))


_EXAMINERS: tuple[tuple[Callable[[bytes], object], Callable[[SeekableFile, int, int], Structure]], ...] = (
    *((family.start.match, partial(chunks.examine, family)) for family in FAMILIES),
    (_AVI_FILE.match, _examine_avi),
    (_WAVPACK_FILE.match, _examine_wavpack),
    (
        _TTA_FILE.match,
        lambda *file: Structure(counts_frames=True, parts=split(file[0], _TTA_FILE, *file[1:])),
    ),
    *((kind.match, partial(_examine_joined, kind)) for kind in _JOINABLE),
    (lambda head: head[4:8] in _MP4_TOP_LEVEL, _examine_mp4),
    (lambda head: head[:4] == _EBML, _examine_matroska),
    (lambda head: head[:4] == b"OggS", ogg.examine),
    (lambda head: head[:16] == _ASF_HEADER, _examine_asf),
    (lambda head: head[:4] == b"fLaC", _examine_flac),
)
