"""Installation of weights as networks, which are kept in the form that this version of the program runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from spleeter_microservice.errors import ModelError
from spleeter_microservice.models.catalogue import BUILTIN_FOLDER, ModelEntry
from spleeter_microservice.models.directory import InstalledModel, ModelDirectory
from spleeter_microservice.models.example import EXAMPLE_SONG
from spleeter_microservice.models.manifest import FileRecord, Manifest, verify_files
from spleeter_microservice.models.weights import Weights
from spleeter_microservice.separation.spleeter.architecture import (
    CASCADE_GRAPH,
    GRAPH_VERSION,
    UNetArchitecture,
)


def architecture_of(entry: ModelEntry) -> UNetArchitecture:
    """Return the architecture of a model of the catalogue."""
    return UNetArchitecture.from_config(
        {"stems": entry.stems, "sample_rate": entry.sample_rate, **entry.config}
    )


def read_current(directory: ModelDirectory) -> InstalledModel | None:
    """Return the installed model, verified; first rewrite networks that an older program wrote.

    Raises:
        ModelCorruptError: if a file is damaged; the message names it and the command that repairs it.
        ModelError: if a newer program wrote the networks, or if they cannot be rewritten.
    """
    model = directory.read_verified()
    if model is not None and model.manifest.graph_version < GRAPH_VERSION:
        _rewrite(directory)
        model = directory.read_verified()
    if model is not None and model.manifest.graph_version > GRAPH_VERSION:
        raise ModelError(
            f"The model in {directory.folder} was installed by a newer version of this program "
            f"({model.manifest.program_version}). Use that version, or remove the model and install it "
            f"with this one: {directory.repair}"
        )
    return model


def new_manifest(name: str, source: str, licence: str, architecture: UNetArchitecture) -> Manifest:
    """Return the manifest of a model that is about to be installed."""
    now, version = datetime.now(UTC).isoformat(timespec="seconds"), metadata.version("spleeter-microservice")
    return Manifest(name, source, licence, now, architecture, GRAPH_VERSION, "", version)


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


def install(directory: ModelDirectory, manifest: Manifest, weights: Weights) -> None:
    """Write networks and the example song, if any, into a model's directory; needs ``locked``."""
    # Imported lazily: only installing a model needs onnx, which takes 0.3 s to load.
    from spleeter_microservice.separation.spleeter.unet_graph import write_networks  # noqa: PLC0415

    def write(folder: Path) -> None:
        write_networks(manifest.architecture, weights.arrays, folder)
        if weights.example_song is not None:
            (folder / EXAMPLE_SONG).write_bytes(weights.example_song)

    directory.install(replace(manifest, weights_sha256=weights.sha256), write)


def read_installed_weights(model: InstalledModel) -> Weights:
    """Return the weights that a model was installed from."""
    from spleeter_microservice.separation.spleeter.unet_graph import read_arrays  # noqa: PLC0415  (as above)

    song = model.folder / EXAMPLE_SONG
    arrays = read_arrays(model.manifest.architecture, model.folder)
    return Weights(arrays, model.manifest.weights_sha256, song.read_bytes() if song.exists() else None)


def _rewrite(directory: ModelDirectory) -> None:
    with directory.locked():
        model = directory.read_verified()
        if model is None or model.manifest.graph_version >= GRAPH_VERSION:
            return  # another process was faster
        old = model.manifest
        manifest = new_manifest(old.name, old.source, old.licence, old.architecture)
        install(directory, replace(manifest, installed=old.installed), read_installed_weights(model))
