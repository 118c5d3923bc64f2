"""JSON objects through a pipe, each after its length.

Nothing but the standard library is imported: the inference process reads its first frame before
it may start threads.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NoReturn

HEADER = struct.Struct(">I")
MAX_MESSAGE_BYTES = 1 << 20

Message = dict[str, Any]


class ProtocolError(Exception):
    """What came is no message, or not one that was to be expected."""


def encode(message: Message) -> bytes:
    """Write a message with its length before it.

    Raises:
        ValueError: when it holds a number that JSON has not, or is too long.
    """
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise ValueError("the message is too long")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Read the length of a message.

    Raises:
        ProtocolError: when it is longer than any message is.
    """
    (length,) = HEADER.unpack(header)
    if length > MAX_MESSAGE_BYTES:
        raise ProtocolError("a message is too long")
    return int(length)


def decode(body: bytes) -> Message:
    """Read a message.

    Raises:
        ProtocolError: when it is no JSON object with a type.
    """
    try:
        message = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a message is no JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message has no type")
    return message


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
