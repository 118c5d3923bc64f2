"""Casts: sets of sounds, one of which is held out for validation."""

from __future__ import annotations

from enum import StrEnum


class Cast(StrEnum):
    """A set of SoundFonts and drum kits.

    ``SECOND`` and ``THIRD`` were added later, as casts of their own, so that earlier pieces did not change.
    ``HELD_OUT`` and the styles of its pieces are never trained on.
    """

    FIRST = "first"
    SECOND = "second"
    THIRD = "third"
    HELD_OUT = "held out"
