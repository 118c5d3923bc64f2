"""The text of API keys: ``sms_``, 43 characters of randomness, 6 of checksum.

The prefix lets scanners for leaked secrets, and people, recognise a key. The checksum distinguishes a
mistyped or truncated key from an unknown one without a look-up; it is not a secret and proves nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

PREFIX = "sms_"
ENTROPY_BITS = 256

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS = 43  # 62^43 > 2^256
_CHECK_DIGITS = 6  # 62^6 > 2^32
PATTERN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_DIGITS + _CHECK_DIGITS}}}", re.ASCII)


def generate() -> str:
    """Return a new key, from the system's random numbers."""
    body = PREFIX + _base62(secrets.randbits(ENTROPY_BITS), _RANDOM_DIGITS)
    return body + _checksum(body)


def is_generated(text: str) -> bool:
    """Return whether a text has the form and the checksum of a generated key."""
    return PATTERN.fullmatch(text) is not None and _checksum(text[:-_CHECK_DIGITS]) == text[-_CHECK_DIGITS:]


def digest(text: str) -> str:
    """Return what is stored instead of a key: its SHA-256, in hexadecimal.

    A fast hash without salt would be wrong for passwords, but is right here: slow and salted hashes protect
    secrets that can be guessed, and 256 random bits cannot. A key can then be looked up by its hash, and
    verifying one takes microseconds, so that wrong keys cannot be used to exhaust the processor.
    """
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("ascii")), _CHECK_DIGITS)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
