"""Progress bars on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spleeter_microservice.separation.song import Progress


@contextmanager
def song_progress(source: Path) -> Iterator[Progress | None]:
    """Draw a progress bar if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=source.name, unit="s", leave=False, bar_format=_BAR) as bar:

        def update(samples: int, total: int | None) -> None:
            bar.total = total
            bar.update(samples - bar.n)

        yield update


_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
