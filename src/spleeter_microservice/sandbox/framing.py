"""Framing of messages: JSON objects, each preceded by its length.

This module imports the standard library only: a child reads its first message before it may start
threads.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NoReturn

HEADER = struct.Struct(">I")
MAX_MESSAGE_BYTES = 1 << 20

Message = dict[str, Any]


class ProtocolError(Exception):
    """A message is malformed or unexpected."""


def encode(message: Message) -> bytes:
    """Encode a message, preceded by its length.

    Raises:
        ValueError: if it contains a number that JSON cannot represent, or is too long.
    """
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise ValueError("the message is too long")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Read the length of a message.

    Raises:
        ProtocolError: if it exceeds ``MAX_MESSAGE_BYTES``.
    """
    (length,) = HEADER.unpack(header)
    if length > MAX_MESSAGE_BYTES:
        raise ProtocolError("a message is too long")
    return int(length)


def decode(body: bytes) -> Message:
    """Decode a message.

    Raises:
        ProtocolError: if it is not a JSON object with a type.
    """
    try:
        message = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a message is not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message has no type")
    return message


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
