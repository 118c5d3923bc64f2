"""Stored objects: keys, sizes and versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from spleeter_microservice.errors import InvalidObjectKeyError

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=@+-]{0,199}")
_LONGEST_KEY = 800  # S3 allows 1024 bytes, including the prefix of the URL


@dataclass(frozen=True)
class StoredObject:
    """Metadata of an object.

    Attributes:
        key: key of the object.
        size: size in bytes.
        etag: ETag as in an HTTP header, with quotes; it changes with the content.
        modified: time of the last write, in UTC.
    """

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class WrittenObject:
    """Metadata of a written object.

    ``size`` is in bytes, ``sha256`` in hexadecimal, ``etag`` as in ``StoredObject``. ``crc32`` is for
    ZIP archives, so that the object need not be read again.
    """

    key: str
    size: int
    sha256: str
    etag: str
    crc32: int


def checked_key(key: str) -> str:
    """Return a key if it is valid: segments of letters, digits and ``_.=@+-``, separated by slashes.

    Raises:
        InvalidObjectKeyError: if it is absolute, empty, too long, or contains a segment like ``..``.
    """
    if len(key) > _LONGEST_KEY or not all(map(_SEGMENT.fullmatch, key.split("/"))):
        raise InvalidObjectKeyError(f"{key[:100]!r} is not a valid object key.")
    return key


def foreign_key(key: str) -> str:
    """Return a key that others have chosen if the client can send it unchanged.

    Raises:
        InvalidObjectKeyError: if it is empty, contains a segment like ``..``, or begins or ends with a slash.
    """
    if not {"", ".", ".."}.isdisjoint(key.split("/")) or not key.isprintable():
        raise InvalidObjectKeyError(f"{key[:100]!r} is not a key that can be read or written here.")
    return key
