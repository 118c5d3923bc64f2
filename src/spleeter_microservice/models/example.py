"""The example song that comes with the weights of a model."""

from __future__ import annotations

from pathlib import Path

EXAMPLE_SONG = "example.mp3"


def find_example(models: Path) -> Path | None:
    """Return the path of the example song in a directory of models, or None if no model came with one."""
    return next(models.glob(f"*/files-*/{EXAMPLE_SONG}"), None)
