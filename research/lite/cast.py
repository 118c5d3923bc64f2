"""Who plays a piece: sounds are split, so that some are kept for validation."""

from __future__ import annotations

from enum import StrEnum


class Cast(StrEnum):
    """A set of SoundFonts and drum kits.

    ``SECOND`` and ``THIRD`` were added when pieces by those before were there already, which thus
    stayed as they were. Nothing is trained on ``HELD_OUT``, nor on the styles that its pieces are in.
    """

    FIRST = "first"
    SECOND = "second"
    THIRD = "third"
    HELD_OUT = "held out"
