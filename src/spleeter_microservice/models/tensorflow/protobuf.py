"""Wire format of protocol buffers, as far as checkpoints and event files need it.

Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_LONGEST_VARINT = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned integer of seven bits per byte, least significant first.

    Returns:
        the number, and the position after it.

    Raises:
        ValueError: if it exceeds the data, or 64 bits.
    """
    value = 0
    for k, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at + k + 1
    raise ValueError(f"no number at byte {at}")


def read_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield each field's number and value: an integer, or the bytes of a string or message.

    Raises:
        ValueError: if the message is truncated or has a field of unknown kind.
    """
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = read_varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = read_varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of unknown kind {kind}")
        content = message[at : at + length]
        if len(content) < length:
            raise ValueError("a truncated field")
        at += length
        yield number, content if kind == _BYTES else int.from_bytes(content, "little")


def varint(value: int) -> bytes:
    """Encode an unsigned integer, seven bits per byte, least significant first."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def integer_field(number: int, value: int) -> bytes:
    """Encode a field that is an unsigned integer."""
    return varint(number << 3 | _VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Encode a field that is a string or a message."""
    return varint(number << 3 | _BYTES) + varint(len(value)) + value


def fixed_field(number: int, code: str, value: float) -> bytes:
    """Encode a field of 32 or 64 bits, whose format in ``struct`` is ``I``, ``f`` or ``d``."""
    packed = struct.pack(f"<{code}", value)
    return varint(number << 3 | (_FIXED32 if len(packed) == 4 else _FIXED64)) + packed
