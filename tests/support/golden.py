"""The song in ``tests/golden/data``, with the stems that official Spleeter makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spleeter_microservice.arrays import Waveform
from spleeter_microservice.audio.reader import AudioReader

DATA = Path(__file__).parents[1] / "golden" / "data"


def read(path: Path) -> Waveform:
    """Read a whole file."""
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(1 << 16)))
