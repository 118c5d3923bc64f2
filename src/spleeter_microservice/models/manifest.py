"""The record that lies beside an installed model: what it is, whence, and its hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from spleeter_microservice.errors import ModelCorruptError
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

_HASHING_THREADS = 4  # hashing releases the interpreter's lock


@dataclass(frozen=True)
class FileRecord:
    """What a file must be; ``size`` is in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What was installed.

    ``installed`` is a UTC time in ISO 8601. ``weights_sha256`` is the hash of the weights as
    TensorFlow's data file, to compare with the hash of Deezer's release. ``folder`` holds
    the files, beside the manifest.
    """

    name: str
    source: str
    licence: str
    installed: str
    architecture: UNetArchitecture
    graph_version: int
    weights_sha256: str
    program_version: str
    folder: str = ""
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.size for record in self.files.values())

    def to_json(self) -> str:
        """Write the manifest as it lies in its file."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["architecture"] = json.loads(self.architecture.to_json())
        values["files"] = {name: vars(record) for name, record in sorted(self.files.items())}
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ValueError: when it is anything else.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            values["architecture"] = UNetArchitecture.from_json(json.dumps(values["architecture"]))
            values["files"] = {name: FileRecord(**record) for name, record in values["files"].items()}
            manifest = cls(**values)
            inside = [manifest.folder, *values["files"]]
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no manifest: {error!r}") from error
        if not all(isinstance(name, str) and Path(name).name == name for name in inside):
            raise ValueError("it names files elsewhere")
        return manifest


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Hash every file of a folder."""
    paths = sorted(folder.iterdir())
    return {path.name: record for path, record in zip(paths, _map_files(paths), strict=True)}


def verify_files(folder: Path, files: Mapping[str, FileRecord], repair: str) -> None:
    """Compare the files of a folder with their records.

    Args:
        folder: holds the files.
        files: what each must be.
        repair: the command to name in an error.

    Raises:
        ModelCorruptError: naming the first file that is missing or is another.
    """
    paths = [folder / name for name in files]
    try:
        found = _map_files(paths)
    except OSError as error:
        raise ModelCorruptError(
            f"The installed file {error.filename} cannot be read ({error.strerror}). Repair it: {repair}"
        ) from error
    for path, record, expected in zip(paths, found, files.values(), strict=True):
        if record != expected:
            raise ModelCorruptError(
                f"The installed file {path} is damaged: it has {record.size} bytes with the SHA-256 "
                f"{record.sha256}, expected {expected.size} bytes with {expected.sha256}. Repair it: {repair}"
            )


def _map_files(paths: list[Path]) -> list[FileRecord]:
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        return list(pool.map(_record, paths))


def _record(path: Path) -> FileRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(digest.hexdigest(), file.tell())
