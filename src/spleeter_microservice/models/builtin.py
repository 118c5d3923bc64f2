"""The models that come with this program: trained by it, approximate, and there without a download."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from spleeter_microservice.models.directory import InstalledModel
from spleeter_microservice.models.manifest import FileRecord, Manifest, verify_files
from spleeter_microservice.separation.spleeter.architecture import (
    CASCADE_GRAPH,
    GRAPH_VERSION,
    UNetArchitecture,
)

FOLDER = Path(__file__).with_name("builtin_weights")
"""Holds the network and the record of where it comes from."""

BASE = "2stems"
"""Whose networks take the voice out first."""

_RECORD = "lite.json"
_REPAIR = "install spleeter-microservice anew"


@dataclass(frozen=True)
class BuiltIn:
    """A model made of 2stems and of the network in ``FOLDER``.

    Attributes:
        name: of the model.
        stands_for: the model of Deezer's that it replaces while that is not installed.
        instruments: of the model, vocals first.
        experimental: whether some stem is not good enough to be relied on.
    """

    name: str
    stands_for: str
    stems: tuple[str, ...]
    experimental: bool = False

    @property
    def architecture(self) -> UNetArchitecture:
        """What the pipeline needs to know."""
        return UNetArchitecture(self.stems, kind="cascade")

    def installed(self, base: InstalledModel, folder: Path = FOLDER) -> InstalledModel:
        """Give the model, its file verified.

        Args:
            base: 2stems.
            folder: holds the network.

        Raises:
            ModelCorruptError: when the file is not the one that was shipped.
        """
        manifest = self.manifest(folder)
        verify_files(folder, manifest.files, _REPAIR)
        return InstalledModel(
            self.name,
            folder,
            self.architecture,
            manifest,
            base=base,
            quality="approximate",
            experimental=self.experimental,
        )

    def manifest(self, folder: Path = FOLDER) -> Manifest:
        """Say what is built in."""
        described = record(folder)
        return Manifest(
            name=self.name,
            source="built in",
            licence=described["licence"],
            installed=described["date"],
            architecture=self.architecture,
            graph_version=GRAPH_VERSION,
            weights_sha256=described["sha256"],
            program_version=metadata.version("spleeter-microservice"),
            files={CASCADE_GRAPH: FileRecord(described["sha256"], described["size"])},
        )


@cache
def record(folder: Path = FOLDER) -> Mapping[str, Any]:
    """Give where the network comes from: its hash, how it was trained, on what, and its scores."""
    described: Mapping[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    return described


BUILT_IN = {
    model.name: model
    for model in (
        BuiltIn("4stems-lite", "4stems", ("vocals", "drums", "bass", "other")),
        BuiltIn("5stems-lite", "5stems", ("vocals", "piano", "drums", "bass", "other"), experimental=True),
    )
}
"""In the order of the models that they stand for."""
