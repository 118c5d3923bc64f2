"""Previews of waveforms."""

from __future__ import annotations

from pathlib import Path

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.preview import PreviewWriter

_BLOCK = 521_216  # what the networks give at a time


def written(waveform: Waveform, sample_rate: int, folder: Path) -> tuple[bytes, list[bytes]]:
    """Return the preview of a waveform, whole and in segments."""
    with PreviewWriter(folder / "whole", lambda segment: folder / str(segment), sample_rate) as preview:
        for start in range(0, len(waveform), _BLOCK):
            preview.write(waveform[start : start + _BLOCK])
        preview.finish()
    parts = [(folder / str(segment)).read_bytes() for segment in range(preview.segments)]
    return (folder / "whole").read_bytes(), parts
