"""The record beside stems: what each was made from, so that a batch can skip the songs that are done."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from spleeter_microservice.cli.report import writing
from spleeter_microservice.files import replace_atomically
from spleeter_microservice.separation.declarations import declared_options
from spleeter_microservice.separation.options import SeparationOptions

_NAME = ".spleeter.json"
_WHAT = {
    "input": "from another input",
    "model": "with another model",
    "options": "with other options",
    "results": "by an older version of this program",
}
_RESULTS = 1  # raise it when the same song, model and options yield other stems
_writing = threading.Lock()


def made_from(
    config: Mapping[str, Any], weights_sha256: str, options: SeparationOptions, adapter: str | None
) -> dict[str, Any]:
    """Return what decides the contents of stems, apart from their songs, in JSON values.

    Options that have their defaults are left out, so that a new option leaves old records valid.
    """
    defaults = {each.name: each.default for each in declared_options(SeparationOptions)}
    chosen = {
        name: getattr(options, name)
        for name, default in defaults.items()
        if getattr(options, name) != default
    }
    values = {
        "model": {"weights_sha256": weights_sha256, **config},
        "options": chosen | ({"adapter": adapter} if adapter else {}),
        "results": _RESULTS,
    }
    return dict(json.loads(json.dumps(values)))


@dataclass(frozen=True)
class Record:
    """The record of one song, in the folders of its stems.

    Attributes:
        made_from: everything that decides what is in the stems, in JSON values.
        paths: paths of the stems.
    """

    made_from: Mapping[str, Any]
    paths: Collection[Path]

    @staticmethod
    def made_in(folder: Path) -> frozenset[str]:
        """Return the names of the files in a folder that this program made, and of the record."""
        return frozenset((_NAME, *(name for song in _read(folder) for name in song["files"])))

    def exists(self) -> bool:
        """Return whether a folder of the stems has a record."""
        return any((path.parent / _NAME).exists() for path in self.paths)

    def missing(self) -> str | None:
        """Return why the song is to be separated; None if it is done."""
        for path in self.paths:
            made = next((song for song in _read(path.parent) if path.name in song["files"]), None)
            if made is None:
                return f"no record of {path}"
            if made["files"][path.name] != _size(path):
                return f"{path} is missing or was changed"
            for name, what in _WHAT.items():
                if made.get(name) != self.made_from[name]:
                    return f"{path} was made {what}"
        return None

    def remove(self) -> None:
        """Remove the song from its folders' records, before its stems are written.

        Otherwise stems that are replaced just before the program is killed would count as the older ones.
        """
        self._write(add=False)

    def add(self) -> None:
        """Add the song to its folders' records, after its stems are complete."""
        self._write(add=True)

    def _write(self, *, add: bool) -> None:
        parent = attrgetter("parent")
        for folder, paths in groupby(sorted(self.paths, key=parent), parent):
            files, record = {path.name: _size(path) for path in paths}, folder / _NAME
            with _writing:
                before = _read(folder)
                songs = [
                    {**song, "files": {n: size for n, size in song["files"].items() if n not in files}}
                    for song in before
                ]
                if add:
                    songs.append({**self.made_from, "files": files})
                songs = [song for song in songs if song["files"]]
                if songs != before:
                    text = json.dumps({"songs": songs}, indent=1) + "\n"
                    with writing(f"The record {record}"), replace_atomically(record) as file:
                        file.write_text(text, encoding="utf-8")


def _read(folder: Path) -> list[dict[str, Any]]:
    try:
        songs = json.loads((folder / _NAME).read_text(encoding="utf-8"))["songs"]
        return [song for song in songs if isinstance(song["files"], dict)]
    except (OSError, ValueError, TypeError, LookupError, RecursionError):  # or not ours
        return []


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
