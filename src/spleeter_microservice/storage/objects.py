"""What is known of a stored object: its key, size and version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from spleeter_microservice.errors import InvalidObjectKeyError

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=@+-]{0,199}")
_LONGEST_KEY = 800  # S3 allows 1024 bytes, the URL's own prefix included


@dataclass(frozen=True)
class StoredObject:
    """What is known of an object without reading it.

    Attributes:
        key: its name.
        size: in bytes.
        etag: as it stands in an HTTP header, quotes included; another content has another one.
        modified: when it was written, in UTC.
    """

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class WrittenObject:
    """What was written: ``size`` in bytes, ``sha256`` in hexadecimal, ``etag`` as in ``StoredObject``.

    ``crc32`` is what ZIP archives need, so that nobody has to read everything for it again.
    """

    key: str
    size: int
    sha256: str
    etag: str
    crc32: int


def checked_key(key: str) -> str:
    """Give a key back if it is one: segments of letters, digits and ``_.=@+-``, parted by slashes.

    Raises:
        InvalidObjectKeyError: when it is absolute, empty, too long, or has a segment like ``..``.
    """
    if len(key) > _LONGEST_KEY or not all(map(_SEGMENT.fullmatch, key.split("/"))):
        raise InvalidObjectKeyError(f"{key[:100]!r} cannot be the key of an object.")
    return key
