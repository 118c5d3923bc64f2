"""Turns weights into an installed model, and keeps it in the form that this program runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from spleeter_microservice.arrays import Array
from spleeter_microservice.errors import ModelError
from spleeter_microservice.models.directory import InstalledModel, ModelDirectory
from spleeter_microservice.models.manifest import Manifest
from spleeter_microservice.models.weights import Weights
from spleeter_microservice.separation.spleeter.architecture import GRAPH_VERSION, UNetArchitecture

EXAMPLE_SONG = "example.mp3"


@dataclass(frozen=True)
class GraphForm:
    """A way to write networks into a folder, and to read their arrays back."""

    version: int
    write: Callable[[UNetArchitecture, Mapping[str, Array], Path], None]
    read: Callable[[UNetArchitecture, Path], dict[str, Array]]


def _write(architecture: UNetArchitecture, arrays: Mapping[str, Array], folder: Path) -> None:
    # Imported late: onnx takes 0.3 s, and a model that is installed needs no writing.
    from spleeter_microservice.separation.spleeter import unet_graph  # noqa: PLC0415

    unet_graph.write_networks(architecture, arrays, folder)


def _read(architecture: UNetArchitecture, folder: Path) -> dict[str, Array]:
    from spleeter_microservice.separation.spleeter import unet_graph  # noqa: PLC0415  (as above)

    return unet_graph.read_arrays(architecture, folder)


CURRENT = GraphForm(GRAPH_VERSION, _write, _read)


class Installer:
    """Writes networks into slots.

    Args:
        form: in which they are written.
    """

    def __init__(self, form: GraphForm) -> None:
        self.form = form

    def current(self, slot: ModelDirectory) -> InstalledModel | None:
        """Give a slot's model, verified, its networks rewritten if an older program wrote them.

        Raises:
            ModelCorruptError: naming the damaged file and the command that repairs it.
            ModelError: when the networks are in a newer form, or cannot be rewritten.
        """
        model = slot.verified()
        if model is not None and model.manifest.graph_version < self.form.version:
            self._rewrite(slot)
            model = slot.verified()
        if model is not None and model.manifest.graph_version > self.form.version:
            raise ModelError(
                f"The model in {slot.folder} was installed by a newer version of this program "
                f"({model.manifest.program_version}). Use that version, or remove the model and install it "
                f"with this one: {slot.repair}"
            )
        return model

    def describe(self, name: str, source: str, licence: str, architecture: UNetArchitecture) -> Manifest:
        """Begin the manifest of what is to be installed, as of now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Manifest(name, source, licence, now, architecture, self.form.version, "", _program_version())

    def install(self, slot: ModelDirectory, manifest: Manifest, weights: Weights) -> None:
        """Write the networks, and the song if there is one, into a slot under ``locked``."""

        def fill(folder: Path) -> None:
            self.form.write(manifest.architecture, weights.arrays, folder)
            if weights.example_song is not None:
                (folder / EXAMPLE_SONG).write_bytes(weights.example_song)

        slot.install(replace(manifest, weights_sha256=weights.sha256), fill)

    def weights(self, model: InstalledModel) -> Weights:
        """Read back what a model was installed from."""
        song = model.folder / EXAMPLE_SONG
        arrays = self.form.read(model.manifest.architecture, model.folder)
        return Weights(arrays, model.manifest.weights_sha256, song.read_bytes() if song.exists() else None)

    def _rewrite(self, slot: ModelDirectory) -> None:
        with slot.locked():
            model = slot.verified()
            if model is None or model.manifest.graph_version >= self.form.version:
                return  # another process was faster
            manifest = replace(
                model.manifest, graph_version=self.form.version, program_version=_program_version()
            )
            self.install(slot, manifest, self.weights(model))


def _program_version() -> str:
    return metadata.version("spleeter-microservice")
