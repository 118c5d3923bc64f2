"""The formats that are made of chunks, or like AU of a header and samples."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

LONGEST_START = 64
"""Bytes that the pattern of a file's beginning matches at most."""

_EXTENSIBLE = 0xFFFE
_UNCOMPRESSED = (1, 3, 6, 7)  # integers, floats, A-law, µ-law
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # of a sample, by encoding
_AIFF_PLAIN = (b"", b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"raw ")


@dataclass(frozen=True)
class Family:
    """What distinguishes the formats that are made of chunks, or like AU of a header and samples.

    Attributes:
        order: order of the bytes in a number.
        start: pattern of a file's first bytes, at most ``LONGEST_START``.
        samples: name of the chunk with the samples.
        header: name of the chunk that describes the samples.
        rate: returns the bytes of a second of samples from the content of that chunk, or None if they are
            compressed.
        first: position of the first chunk in a file.
        name, width: bytes of a chunk's name and of its length.
        included: bytes of a chunk's header that its length includes.
        align: chunks begin at multiples of this many bytes.
        names: pattern of the names of chunks.
        length_at: position in a file of the length of its samples, if that is not just before them.
        mark: the part of ``start`` to search for, if ``start`` begins with alternatives, which are slow.
        mark_at: position in a file of the mark.
    """

    order: Literal["little", "big"]
    start: re.Pattern[bytes]
    samples: bytes
    header: bytes
    rate: Callable[[bytes], float | None]
    first: int = 12
    name: int = 4
    width: int = 4
    included: int = 0
    align: int = 2
    names: re.Pattern[bytes] = re.compile(rb"[ -~]{4}")
    length_at: int | None = None
    mark: re.Pattern[bytes] | None = None
    mark_at: int = 0

    def number(self, data: bytes) -> int:
        """Return the number in some bytes."""
        return int.from_bytes(data, self.order)


def wav_rate(content: bytes) -> float | None:
    """Return the bytes of a second of samples of WAV or W64, from the other numbers of the header."""
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16].ljust(16, b"\0"))
    if kind == _EXTENSIBLE:
        kind = int.from_bytes(content[24:26], "little")
    size = channels * (bits + 7 >> 3)
    return float(rate * size) or None if kind in _UNCOMPRESSED and size < 1 << 16 else None


def _aiff_rate(content: bytes) -> float | None:
    if content[18:22] not in _AIFF_PLAIN or len(content) < 18:
        return None
    channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", content[:18])
    rate = math.ldexp(mantissa, min(exponent, 17_000) - 16_383 - 63)  # 80-bit float
    return float(rate * channels * (bits + 7 >> 3)) or None


def _caf_rate(content: bytes) -> float | None:
    rate, packet, frames = struct.unpack(">d8xII", content[:24].ljust(24, b"\0"))
    return rate / frames * packet or None if frames and 0 < rate < math.inf else None


def _au_rate(content: bytes) -> float | None:
    encoding, rate, channels = struct.unpack(">3I", content[:12].ljust(12, b"\0"))
    return rate * channels * _AU_BYTES.get(encoding, 0) or None


def _dsf_rate(content: bytes) -> float | None:
    channels, rate = struct.unpack("<II", content[12:20].ljust(8, b"\0"))
    return channels * rate / 8 or None


def _dff_rate(content: bytes) -> float | None:
    rate, channels = (
        int.from_bytes(content[(at := content.find(name) + 12) : at + size], "big")
        for name, size in ((b"FS  ", 4), (b"CHNL", 2))
    )
    return channels * rate / 8 or None


WAV = Family(
    "little",
    re.compile(rb"(RIFF|RF64|BW64)....WAVE", re.DOTALL),
    b"data",
    b"fmt ",
    wav_rate,
    mark=re.compile(b"WAVE"),
    mark_at=8,
)
AIFF = Family("big", re.compile(rb"FORM....AIF[FC]", re.DOTALL), b"SSND", b"COMM", _aiff_rate)
W64 = Family(
    "little",
    re.compile(
        rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0.{8}wave\xf3\xac\xd3\x11\x8c\xd1\0\xc0\x4f\x8e\xdb\x8a",
        re.DOTALL,
    ),
    b"data",
    b"fmt ",
    wav_rate,
    first=40,
    name=16,
    width=8,
    included=24,
    align=8,
    names=re.compile(rb".{10}(\0\xc0\x4f\x8e\xdb\x8a|\x28\xdb\x04\xc1\0\0)", re.DOTALL),
)
CAF = Family(
    "big", re.compile(rb"caff\0\x01..desc", re.DOTALL), b"data", b"desc", _caf_rate, first=8, width=8, align=1
)
DSF = Family(
    "little",
    re.compile(rb"DSD \x1c\0{7}.{16}fmt ", re.DOTALL),
    b"data",
    b"fmt ",
    _dsf_rate,
    first=28,
    width=8,
    included=12,
    align=1,
)
DFF = Family("big", re.compile(rb"FRM8.{8}DSD ", re.DOTALL), b"DSD ", b"PROP", _dff_rate, first=16, width=8)
AU = Family(
    "big",
    re.compile(rb"\.snd\0\0......\0{3}[\x01-\x1b]..{3}\0{3}.", re.DOTALL),
    b"data",
    b"head",
    _au_rate,
    first=8,
    names=re.compile(rb"(?!)"),
    length_at=8,
)
FAMILIES = (WAV, AIFF, W64, CAF, DSF, DFF, AU)
