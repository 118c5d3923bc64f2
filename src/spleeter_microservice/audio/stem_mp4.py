"""The manifest of Native Instruments' Stems, which tells DJ programs what the tracks of a file are."""

from __future__ import annotations

import json
from collections.abc import Sequence

_COLOURS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9")
# Programs may process the sum of the stems like the mix was mastered. These stems sum to the mastered mix.
_MASTERING = {
    "compressor": {
        "enabled": False,
        "input_gain": 0.5,
        "output_gain": 0.5,
        "threshold": 0,
        "dry_wet": 50,
        "attack": 0.003,
        "release": 0.3,
        "ratio": 3,
        "hp_cutoff": 300,
    },
    "limiter": {"enabled": False, "threshold": 0, "ceiling": -0.35, "release": 0.05},
}


def manifest(stems: Sequence[str]) -> bytes:
    """Return the names and colours of the four stems behind the mix, in the order of their tracks."""
    described = [
        {"name": name.title(), "color": colour} for name, colour in zip(stems, _COLOURS, strict=True)
    ]
    return json.dumps({"mastering_dsp": _MASTERING, "version": 1, "stems": described}).encode()
