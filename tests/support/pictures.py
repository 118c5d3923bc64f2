"""Huge pictures that take few bytes, and songs with them."""

from __future__ import annotations

import struct
import zlib


def with_huge_picture(flac: bytes, side: int = 16_000) -> bytes:
    """Return a FLAC file with a cover of so many pixels in each direction."""
    kind, picture = b"image/png", png(side, side)
    block = struct.pack(">II9s5I", 3, len(kind), kind, 0, side, side, 24, 0)
    block += struct.pack(">I", len(picture)) + picture
    header = bytes([flac[4] & 0x7F]) + flac[5:42]  # STREAMINFO, which another block follows
    first = flac[4] & 0x80 | 6  # a picture, the last block if STREAMINFO was the last
    return flac[:4] + header + bytes([first]) + len(block).to_bytes(3, "big") + block + flac[42:]


def png(width: int, height: int) -> bytes:
    """Return a black picture, without compressing all of it."""
    rows = 100
    compressor = zlib.compressobj(wbits=-15)
    some = compressor.compress(bytes(rows * (1 + 3 * width))) + compressor.flush(zlib.Z_FULL_FLUSH)
    pixels = b"\x78\x01" + some * (height // rows) + compressor.flush() + bytes(4)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
