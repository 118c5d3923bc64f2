"""The table of presets in docs/cli.md."""

from __future__ import annotations

import json
from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.separation.presets import PRESETS, Preset


def _presets() -> Iterator[str]:
    return table(("Preset", "Purpose", "Options"), map(_row, PRESETS.values()))


def _row(preset: Preset) -> tuple[str, str, str]:
    options = ", ".join(f"`{name}`: `{_shown(value)}`" for name, value in preset.options.items())
    return f"`{preset.name}`", preset.purpose, options


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


TABLES = {"presets": _presets}
