"""Hashes of audio files, recorded to state what a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from spleeter_microservice.errors import UnreadableInputError
from spleeter_microservice.models.manifest import hash_file
from spleeter_microservice.training.export import write_json


def hash_files(
    paths: Sequence[Path], record: Path, workers: int, progress: Callable[[int, int], None]
) -> dict[Path, str]:
    """Return the SHA-256 of files, reading only those whose size or modification time has changed.

    Args:
        paths: files to hash.
        record: JSON file that keeps size, modification time and hash of each file for the next call.
        workers: number of files to read at once.
        progress: called with the number of files that are done, and the number of all.

    Raises:
        UnreadableInputError: if a file cannot be read.
        OSError: if the record cannot be written.
    """
    known: Mapping[str, Mapping[str, Any]] = {}
    with suppress(OSError, ValueError):  # missing or broken: hash all files
        known = json.loads(record.read_text(encoding="utf-8"))

    def describe(path: Path) -> Mapping[str, Any]:
        try:
            status = path.stat()
            current = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            before = known.get(str(path), {})
            if current.items() <= before.items():
                return before
            return current | {"sha256": hash_file(path).sha256}
        except OSError as error:
            raise UnreadableInputError(f"{path} cannot be read: {error.strerror}.") from error

    found: dict[str, Mapping[str, Any]] = {}
    with ThreadPoolExecutor(workers) as pool:
        for path, description in zip(paths, pool.map(describe, paths), strict=True):
            found[str(path)] = description
            progress(len(found), len(paths))
    write_json(record, found)
    return {path: found[str(path)]["sha256"] for path in paths}
