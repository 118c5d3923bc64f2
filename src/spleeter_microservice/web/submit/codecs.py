"""What stems can be written as; ``separation.audio_formats``, which the API does not load, agrees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from spleeter_microservice.errors import InvalidFieldsError

Codec = Literal["wav", "flac", "mp3", "m4a", "ogg", "opus", "wma"]

KILOBITS: Mapping[str, tuple[int, int]] = {
    "mp3": (32, 320),
    "m4a": (16, 512),
    "ogg": (64, 500),
    "opus": (6, 510),
    "wma": (32, 320),
}
"""Bitrates that lossy codecs can have, in thousands of bits per second."""

BITRATE = r"^[1-9][0-9]{0,6}[kK]?$"
_DEFAULT = 128_000  # bits per second


def normal_bitrate(codec: Codec, bitrate: str | None) -> str | None:
    """Give a bitrate in its one spelling; None for a lossless codec, which has none.

    Raises:
        InvalidFieldsError: when the codec cannot have it.
    """
    if codec not in KILOBITS:
        return None
    bits = _DEFAULT if bitrate is None else _bits(bitrate)
    low, high = KILOBITS[codec]
    if not low * 1000 <= bits <= high * 1000:
        raise InvalidFieldsError({"bitrate": f"The codec {codec} can have {low}k to {high}k."})
    return f"{bits // 1000}k" if bits % 1000 == 0 else str(bits)


def _bits(bitrate: str) -> int:
    number = int(re.sub("[kK]$", "", bitrate))
    return number * 1000 if bitrate[-1] in "kK" else number
