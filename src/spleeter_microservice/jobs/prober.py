"""Looks into uploaded files, in a confined process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AudioFacts:
    """What a look into a file's headers, and no more than necessary of its sound, tells.

    Attributes:
        format: of the file, such as ``mp3``.
        codec: of the sound.
        duration: in seconds.
        sample_rate: in Hz.
        channels: how many.
    """

    format: str
    codec: str
    duration: float
    sample_rate: int
    channels: int
