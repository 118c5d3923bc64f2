"""Writes the wire format of protocol buffers; ``wire`` reads it.

Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """Write an unsigned integer, seven bits per byte, least significant first."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def integer_field(number: int, value: int) -> bytes:
    """Write a field that is an unsigned integer."""
    return varint(number << 3 | _VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Write a field that is a string or a message."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def fixed32_field(number: int, value: int) -> bytes:
    """Write a field of 32 bits."""
    return varint(number << 3 | _FIXED32) + struct.pack("<I", value)


def float_field(number: int, value: float) -> bytes:
    """Write a field in single precision."""
    return varint(number << 3 | _FIXED32) + struct.pack("<f", value)


def double_field(number: int, value: float) -> bytes:
    """Write a field in double precision."""
    return varint(number << 3 | _FIXED64) + struct.pack("<d", value)
