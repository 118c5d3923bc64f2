"""Progress bars of a batch and of its songs, on a terminal only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spleeter_microservice.cli.plan import Song
    from spleeter_microservice.separation.song import Progress

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


class Bars(AbstractContextManager["Bars"]):
    """A bar for all songs, if there are several, and one for each song that is being separated.

    The time that is left follows from the bytes of the songs: their durations are in their headers alone.
    """

    def __init__(self, songs: Sequence[Song]) -> None:
        self._sizes = {id(song): _size(song.file) for song in songs}
        self._lock = threading.Lock()
        self._all: Any = None
        self._count = self._done = 0
        self.shown = sys.stderr.isatty()
        if self.shown and len(songs) > 1:
            self._count = len(songs)
            self._all = self._bar(f"0 of {self._count} songs", total=sum(self._sizes.values()), smoothing=0)

    @contextmanager
    def song(self, song: Song) -> Iterator[Progress | None]:
        """Draw a bar for a song while it is separated."""
        if not self.shown:
            yield None
            return
        size, counted = self._sizes[id(song)], 0

        def count(bytes_read: int) -> None:
            nonlocal counted
            with self._lock:
                if self._all is not None:
                    self._all.update(bytes_read - counted)
                counted = bytes_read

        with self._bar(song.file.name, leave=False) as bar:

            def update(samples: int, total: int | None) -> None:
                bar.total = total
                bar.update(samples - bar.n)
                if total:
                    count(min(size, size * samples // total))

            yield update
        count(size)

    def count(self, song: Song, *, separated: bool) -> None:
        """Count a song as done; what took no time must not make the others look faster."""
        if self._all is None:
            return
        with self._lock:
            self._done += 1
            if not separated:
                self._all.total -= self._sizes[id(song)]
            self._all.set_description_str(f"{self._done} of {self._count} songs")

    def hidden(self) -> AbstractContextManager[object]:
        """Hide the bars while something is printed."""
        if self._all is None:
            return nullcontext()
        return self._all.external_write_mode(sys.stderr)  # type: ignore[no-any-return]

    def _bar(self, title: str, **options: Any) -> Any:
        from tqdm import tqdm

        return tqdm(desc=title, unit="B", bar_format=_BAR, **options)

    def __exit__(self, *_: object) -> None:
        if self._all is not None:
            self._all.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
