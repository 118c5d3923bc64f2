"""Framing of Opus packets of 40 ms as Ogg files (RFC 3533 and RFC 7845)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

RATE = 48_000
"""Samples per second that positions and lengths count, whatever was encoded."""
PACKET_SAMPLES = 1920
SEGMENT_SECONDS = 10
"""Seconds of each segment of a preview; the last one may have less."""

_PAGE_PACKETS = 20  # the longest packets, of 2,553 bytes, take 11 of a page's 255 segments each
_FIRST, _LAST = 2, 4
_HEAD = struct.Struct("<8sBBHIhB")
_PAGE = struct.Struct("<4sBBqIII")
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggOpusWriter:
    """A writer of one stereo stream.

    Args:
        file: where to write, from its current position.
        pre_skip: number of samples at the start that decoders discard.
    """

    def __init__(self, file: BinaryIO, pre_skip: int) -> None:
        self._file = file
        self._pre_skip = pre_skip
        self._pages = 0
        self._samples = 0  # decoded from the packets written
        self._held: Sequence[bytes] = []
        self._page([_HEAD.pack(b"OpusHead", 1, 2, pre_skip, RATE, 0, 0)], 0, _FIRST)
        self._page([struct.pack("<8sI8sI", b"OpusTags", 8, b"spleeter", 0)], 0)

    def write(self, packets: Sequence[bytes]) -> None:
        """Append packets, the last of which is held back: it may be the last of all."""
        packets = [*self._held, *packets]
        self._held = packets[-1:]
        for start in range(0, len(packets) - 1, _PAGE_PACKETS):
            page = packets[start : min(start + _PAGE_PACKETS, len(packets) - 1)]
            self._samples += len(page) * PACKET_SAMPLES
            self._page(page, self._samples)

    def finish(self, length: int) -> None:
        """End the stream after this many samples, which the packets must just reach."""
        self._page(self._held, self._pre_skip + length, _LAST)

    def _page(self, packets: Sequence[bytes], position: int, flags: int = 0) -> None:
        sizes = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
        header = _PAGE.pack(b"OggS", 0, flags, position, 1, self._pages, 0) + bytes([len(sizes)]) + sizes
        page = bytearray(header + b"".join(packets))
        page[22:26] = _checksum(page)
        self._pages += 1
        self._file.write(page)


def _checksum(page: bytes | bytearray) -> bytes:
    """Return Ogg's CRC, which is that of zlib with the bits of each byte, and its own, in reverse."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)
