"""Models whose weights come with this program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spleeter_microservice.models.catalogue import BUILTIN_FOLDER, ModelEntry
from spleeter_microservice.models.directory import InstalledModel
from spleeter_microservice.models.installer import architecture_of, new_manifest
from spleeter_microservice.models.manifest import FileRecord, verify_files
from spleeter_microservice.separation.spleeter.architecture import CASCADE_GRAPH


def load_builtin(
    entry: ModelEntry, date: str, base: InstalledModel, folder: Path = BUILTIN_FOLDER
) -> InstalledModel:
    """Return a built-in model after verifying its file.

    Args:
        entry: the model.
        date: day of its training.
        base: model that it refines.
        folder: directory of its network.

    Raises:
        ModelCorruptError: if the file is not the one that was shipped.
    """
    manifest = replace(
        new_manifest(entry.name, "built in", entry.licence, architecture_of(entry)),
        installed=date,
        weights_sha256=entry.sha256,
        files={CASCADE_GRAPH: FileRecord(entry.sha256, entry.size)},
    )
    verify_files(folder, manifest.files, "reinstall spleeter-microservice")
    return InstalledModel(
        entry.name, folder, manifest.architecture, manifest, base, entry.quality, entry.experimental
    )
