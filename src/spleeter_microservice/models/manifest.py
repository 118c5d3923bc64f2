"""The record beside an installed model: what it is, where it comes from, and the hashes of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from spleeter_microservice.errors import ConfigurationError, ModelCorruptError
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

_HASHING_THREADS = 4  # hashing releases Python's global lock


@dataclass(frozen=True)
class FileRecord:
    """Expected SHA-256 and size in bytes of a file."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """Description of an installed model.

    Attributes:
        name: name of the model.
        source: path, URL or package that it was installed from.
        licence: licence of its weights.
        installed: UTC time in ISO 8601.
        architecture: architecture of its networks.
        graph_version: form in which the networks are written; see ``GRAPH_VERSION``.
        weights_sha256: hash of the weights as TensorFlow's data file, as in the catalogue.
        program_version: version of the program that wrote the networks.
        folder: name of the directory, beside the manifest, that holds the files.
        files: records of the files, by file name.
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
        """Size of all files in bytes."""
        return sum(record.size for record in self.files.values())

    def to_json(self) -> str:
        """Return the text of the manifest's file."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values["architecture"] = self.architecture.to_config()
        values["files"] = {name: vars(record) for name, record in sorted(self.files.items())}
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of a manifest's file, as written by this version of the program or an earlier one.

        Raises:
            ValueError: if it is not a manifest.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            values["architecture"] = UNetArchitecture.from_config(values["architecture"])
            values["files"] = {name: FileRecord(**record) for name, record in values["files"].items()}
            manifest = cls(**values)
            names = [manifest.folder, *manifest.files]
        except (TypeError, KeyError, AttributeError, RecursionError, ConfigurationError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error
        if not all(isinstance(name, str) and Path(name).name == name for name in names):
            raise ValueError("it names files outside its directory")
        return manifest


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Return the records of all files in a directory."""
    paths = sorted(folder.iterdir())
    return {path.name: record for path, record in zip(paths, _hash_files(paths), strict=True)}


def verify_files(folder: Path, files: Mapping[str, FileRecord], repair: str) -> None:
    """Compare the files of a directory with their records.

    Args:
        folder: directory that holds the files.
        files: expected records, by file name.
        repair: what repairs the files, for the error message.

    Raises:
        ModelCorruptError: if a file is missing or differs; the message names the first one.
    """
    try:
        found = _hash_files(folder / name for name in files)
    except OSError as error:
        raise ModelCorruptError(
            f"The installed file {error.filename} cannot be read ({error.strerror}). Repair it: {repair}"
        ) from error
    for (name, expected), record in zip(files.items(), found, strict=True):
        if record != expected:
            raise ModelCorruptError(
                f"The installed file {folder / name} is damaged: it has {record.size} bytes with the SHA-256 "
                f"{record.sha256}, expected {expected.size} bytes with {expected.sha256}. Repair it: {repair}"
            )


def _hash_files(paths: Iterable[Path]) -> list[FileRecord]:
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        return list(pool.map(hash_file, paths))


def hash_file(path: Path) -> FileRecord:
    """Return the record of a file.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(digest.hexdigest(), file.tell())
