"""Hashes of audio files, which say what a model was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from spleeter_microservice.errors import UnreadableInputError


def file_hashes(
    paths: Sequence[Path], known: Mapping[str, Mapping[str, Any]], workers: int
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Hash files; one that has the size and the time of change known from before is not read again.

    Args:
        paths: of the files.
        known: what this gave before, by path.
        workers: files read at the same time.

    Yields:
        each path, with its ``size``, its time of change ``mtime_ns``, and ``sha256``.
    """

    def describe(path: Path) -> tuple[Path, dict[str, Any]]:
        try:
            status = path.stat()
            found = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            before = known.get(str(path), {})
            if found.items() <= before.items():
                return path, dict(before)
            with path.open("rb") as file:
                return path, found | {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
        except OSError as error:
            raise UnreadableInputError(f"{path} cannot be read: {error.strerror}.") from error

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(describe, paths)
