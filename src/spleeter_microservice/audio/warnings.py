"""Warnings about a file that is separated although it is damaged, contradicts itself or is very quiet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NOTICEABLE = 0.1
"""Seconds that must be missing, or be too many, to be worth a warning."""

MOST_WARNINGS = 20
"""Warnings of one file that are listed; the others are counted."""

WARNINGS: Mapping[str, str] = MappingProxyType(
    {
        "cut-off": "The file ends before the end that it states.",
        "damaged": "Part of the sound cannot be decoded; silence replaces it, or it is left out.",
        "gap": "The file's times jump over a part without sound; silence fills it.",
        "time-jump": "The file's times jump back, or ahead by more than it can last; nothing is put there.",
        "invalid-samples": "Samples are not finite numbers within ±1e13; silence replaces them.",
        "wrong-length": "The file states another length than its sound has; all of the sound is read.",
        "wrong-header": "A header contradicts itself; what follows from its other numbers is used.",
        "unread-data": "Data that are not part of this file follow its sound; they are left out.",
        "quiet": "The song is quiet, so it is separated worse. Choose best quality, or raise its level.",
        "no-cover": "The stems have no cover, because the song's is too large, or neither a JPEG nor a PNG.",
        "more-warnings": "The file has more such places than are listed.",
    }
)
"""The meaning of each code."""


@dataclass(frozen=True)
class AudioWarning:
    """Something odd about a file, which is separated nevertheless.

    Attributes:
        code: stable name for programs, one of ``WARNINGS``.
        message: what was found and what was done about it, as a sentence.
        position: seconds from the beginning of the file's sound.
    """

    code: str
    message: str
    position: float
