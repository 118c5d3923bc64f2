"""Hashes of audio files, recorded to state what a model was trained on."""

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
    """Hash files, except those whose size and modification time have not changed.

    Args:
        paths: files to hash.
        known: descriptions from an earlier call, by path.
        workers: number of files to read at once.

    Yields:
        Each path with its description: ``size`` in bytes, ``mtime_ns`` and ``sha256``.

    Raises:
        UnreadableInputError: if a file cannot be read.
    """

    def describe(path: Path) -> tuple[Path, dict[str, Any]]:
        try:
            status = path.stat()
            current = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            previous = known.get(str(path), {})
            if current.items() <= previous.items():
                return path, dict(previous)
            with path.open("rb") as file:
                return path, current | {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
        except OSError as error:
            raise UnreadableInputError(f"{path} cannot be read: {error.strerror}.") from error

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(describe, paths)
