"""Songs that are made to take much time, memory or space of whoever reads them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.pictures import with_huge_picture

_BLOCK = 65_535  # samples of a FLAC frame, the most that there can be
_FILLING = 16 << 20  # bytes


def flac_of_one_value(seconds: float, value: int = 0, *, states_length: bool = True) -> bytes:
    """Return a FLAC file whose samples are all the same, at 20 bytes for 1.5 seconds."""
    frames = round(seconds * RATE / _BLOCK)
    total = frames * _BLOCK if states_length else 0
    rate_channels_bits_total = (RATE << 44 | 1 << 41 | 15 << 36 | total).to_bytes(8, "big")
    info = _BLOCK.to_bytes(2, "big") * 2 + bytes(6) + rate_channels_bits_total + bytes(16)
    return b"fLaC\x80\0\0\x22" + info + b"".join(_frame(number, value) for number in range(frames))


def _frame(number: int, value: int) -> bytes:
    header = b"\xff\xf8\x79\x18" + chr(number).encode() + (_BLOCK - 1).to_bytes(2, "big")
    subframe = b"\0" + value.to_bytes(2, "big", signed=True)
    frame = header + _remainder(header, 0x107, 8) + 2 * subframe
    return frame + _remainder(frame, 0x18005, 16)


def _remainder(data: bytes, polynomial: int, bits: int) -> bytes:
    """Return a CRC: the remainder of the data as a polynomial over GF(2)."""
    value = int.from_bytes(data, "big") << bits
    while (excess := value.bit_length() - bits) > 0:
        value ^= polynomial << excess - 1
    return value.to_bytes(bits // 8, "big")


def _encoded(kind: str, seconds: float = 1.0, gain: float = 1.0) -> bytes:
    with TemporaryDirectory() as folder:
        samples = np.multiply(noise(round(seconds * RATE)), gain, dtype=np.float32)
        return encode_kind(Path(folder, f"song.{kind}"), samples, kind).read_bytes()


def _filled(kind: str, at: int, piece: bytes) -> bytes:
    """Return a file with so many copies of a piece at a place that they make up 16 MB."""
    data = _encoded(kind)
    return data[:at] + piece * (_FILLING // len(piece)) + data[at:]


def _followed(kind: str, piece: bytes) -> bytes:
    return _encoded(kind) + piece * (_FILLING // len(piece))


def _repeated(kind: str) -> bytes:
    data = _encoded(kind, 2.0, gain=0.0)
    return data * (_FILLING // len(data))


def _picture() -> bytes:
    return with_huge_picture(_encoded("flac"))


def _archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("song.wav", "song.mp3", "[Content_Types].xml"):
            archive.writestr(name, bytes(_FILLING))
    return target.getvalue()


def _fewer_blocks() -> bytes:
    """Return a FLAC file with endless empty blocks between STREAMINFO and the sound."""
    data = _encoded("flac")
    return b"fLaC\0" + data[5:42] + b"\1\0\0\0" * (_FILLING // 4) + b"\x81\0\0\0" + data[-(len(data) // 2) :]


FILES: Mapping[str, Callable[[], bytes]] = {
    "ten hours.flac": partial(flac_of_one_value, 36_000, states_length=False),
    "hours.aac": partial(_repeated, "aac"),
    "hours.mp3": partial(_repeated, "headerless.mp3"),
    "inflates.flac": partial(flac_of_one_value, 1200, 1),
    "loud.wav": partial(_encoded, "f32.wav", gain=1e18),
    "cover.flac": _picture,
    "archive.zip": _archive,
    "empty chunks.wav": partial(_filled, "s16.wav", 12, b"JUNK\0\0\0\0"),
    "empty chunks.aiff": partial(_filled, "aiff", 12, b"ANNO\0\0\0\0"),
    "empty chunks.caf": partial(_filled, "caf", 8, b"free" + bytes(8)),
    "empty chunks.avi": partial(_filled, "avi", 12, b"JUNK\0\0\0\0"),
    "empty chunks.w64": partial(_followed, "w64", b"junk" * 4 + b"\x18" + bytes(7)),
    "tiny boxes.m4a": partial(_filled, "m4a", 28, b"\0\0\0\x08free"),
    "tiny boxes.mp4": partial(_followed, "fragmented.mp4", b"\0\0\0\x08moof"),
    "tiny elements.webm": partial(_followed, "live.webm", b"\xec\x80"),
    "tiny pages.ogg": partial(_followed, "opus", b"OggS" + bytes(23)),
    "tiny blocks.flac": _fewer_blocks,
    "tiny tags.mp3": partial(_filled, "mp3", 0, b"ID3\4\0\0\0\0\0\0"),
    "zeros.wav": partial(_followed, "s16.wav", b"\0"),
    "joined.wav": partial(_repeated, "s16.wav"),
}
"""Makers of hostile files by the files' names."""
