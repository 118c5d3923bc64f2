"""Presets: options for what people do with stems, by name, for the API, the command line and the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Options for a purpose.

    Attributes:
        name: the name that callers choose it by.
        purpose: a sentence that says what it is for.
        options: values of options, and the number of stems, as HTTP requests send them.
    """

    name: str
    purpose: str
    options: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "karaoke",
            "Sing to the song without its vocals.",
            {
                "stems": 2,
                "mixes": {"karaoke": "instrumental"},
                "only": ["karaoke"],
                "level": "prevent-clipping",
                "codec": "mp3",
                "bitrate": "320k",
            },
        ),
        Preset(
            "dj",
            "Mix vocals, drums, bass and the rest live: one file for DJ programs that read Stems.",
            {"stems": 4, "codec": "stem.mp4"},
        ),
        Preset(
            "podcast",
            "Use the voices alone, without music and noise, at the loudness of podcasts.",
            {"stems": 2, "only": ["vocals"], "level": "-16", "codec": "mp3", "bitrate": "192k"},
        ),
        Preset(
            "remix",
            "Work on four stems in the best quality, as long as the song to the sample.",
            {"stems": 4, "quality": "best", "codec": "wav", "bit_depth": "24", "sample_rate": "source"},
        ),
        Preset(
            "practice",
            "Play or sing one part yourself: four mixes, each without one of the stems.",
            {
                "stems": 4,
                "mixes": {
                    "no_vocals": "drums+bass+other",
                    "no_drums": "vocals+bass+other",
                    "no_bass": "vocals+drums+other",
                    "no_other": "vocals+drums+bass",
                },
                "only": ["no_vocals", "no_drums", "no_bass", "no_other"],
                "level": "prevent-clipping",
                "codec": "mp3",
                "bitrate": "256k",
            },
        ),
    )
}
_GOVERNED = {"codec": ("bitrate", "bit_depth", "sample_rate"), "mixes": ("only",), "model": ("stems",)}
"""Options of a preset that do not apply if the caller chooses differently what governs them."""


def default_model(preset: str | None) -> str:
    """Return the model of a caller who names none."""
    return f"{PRESETS[preset].options['stems']}stems" if preset else "spleeter:2stems"


def with_preset(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a caller has chosen, completed by the options of the preset among it, if there is one."""
    name = chosen.get("preset")
    options = PRESETS[name].options if isinstance(name, str) and name in PRESETS else {}
    overridden = {
        option
        for governing, governed in _GOVERNED.items()
        if chosen.get(governing) not in (None, options.get(governing))
        for option in governed
    }
    left_open = {
        option: value
        for option, value in options.items()
        if chosen.get(option) is None and option not in overridden
    }
    return {**chosen, **left_open}
