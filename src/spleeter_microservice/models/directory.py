"""A place where one model is installed, replaced and removed without being seen half done.

::

    NAME/manifest.json        what is installed; written last, replaced atomically
    NAME/files-XXXXXXXX/      the files that the manifest names
    .NAME.lock                held by whoever changes NAME

Files are never changed in place: a replacement comes in a folder of its own, and only the
new manifest makes it the installed one. The folder replaced stays until the next change,
for readers that have read the old manifest. What a killed process leaves has no manifest.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from spleeter_microservice.errors import ModelCorruptError, ModelError
from spleeter_microservice.models.manifest import Manifest, record_files, verify_files
from spleeter_microservice.separation.separator import ModelFiles
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

ModelQuality = Literal["official", "approximate", "own"]

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class InstalledModel:
    """A model that can be run.

    Attributes:
        name: by which it was asked for.
        folder: holds ``{instrument}.onnx`` and ``{instrument}.bin``, or a cascade's second network.
        architecture: of the model.
        manifest: what was installed.
        base: the model whose networks a cascade runs first.
        quality: ``official`` for Deezer's weights, ``approximate`` for the built-in ones, ``own``
            for those that a configuration file names.
        experimental: whether some stem is not good enough to be relied on.
    """

    name: str
    folder: Path
    architecture: UNetArchitecture
    manifest: Manifest
    base: InstalledModel | None = None
    quality: ModelQuality = "official"
    experimental: bool = False

    @property
    def files(self) -> ModelFiles:
        """What the model's family needs to load it."""
        return ModelFiles(
            family="spleeter",
            directory=self.folder,
            config=json.loads(self.architecture.to_json()),
            base=self.base.folder if self.base else None,
            stems=self.architecture.stems,
            sample_rate=self.architecture.sample_rate,
        )


class ModelDirectory:
    """The place of one model.

    Args:
        folder: of the model; its name is the model's.
        repair: the command that installs the model anew, for messages.
    """

    def __init__(self, folder: Path, repair: str) -> None:
        self.folder = folder
        self.repair = repair

    def installed(self) -> InstalledModel | None:
        """Give what is installed, unverified.

        Raises:
            ModelCorruptError: when the manifest cannot be read.
        """
        path = self.folder / _MANIFEST
        try:
            manifest = Manifest.from_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ModelCorruptError(f"{path} cannot be read ({error}). Repair it: {self.repair}") from error
        return InstalledModel(manifest.name, self.folder / manifest.folder, manifest.architecture, manifest)

    def present(self) -> bool:
        """Tell whether something is installed, even if damaged."""
        return (self.folder / _MANIFEST).exists()

    def verified(self) -> InstalledModel | None:
        """Give what is installed, every file's hash compared with the manifest's.

        Raises:
            ModelCorruptError: naming the file that is not what was installed.
        """
        model = self.installed()
        while model is not None:
            try:
                verify_files(model.folder, model.manifest.files, self.repair)
            except ModelCorruptError:
                before, model = model, self.installed()
                if model == before:
                    raise
            else:
                break
        return model

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to change the slot, waiting for whoever has it.

        What no manifest names is removed first: leftovers, and what was replaced before.

        Raises:
            ModelError: when, here or in the body, the disk refuses to be written.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with self.folder.with_name(f".{self.folder.name}.lock").open("w") as lock:
                # The kernel releases it when the process ends, however it ends.
                fcntl.flock(lock, fcntl.LOCK_EX)
                self.folder.mkdir(exist_ok=True)
                self._clean()
                yield
        except OSError as error:
            raise ModelError(
                f"Cannot write the model into {self.folder}: {error.strerror or error}. Free space there, "
                "make it writable, or choose another folder with SPLEETER_MODELS_DIR."
            ) from error

    @contextlib.contextmanager
    def work_folder(self) -> Iterator[Path]:
        """Give a folder for what is needed on the way; needs ``locked``."""
        with tempfile.TemporaryDirectory(prefix="work-", dir=self.folder) as work:
            yield Path(work)

    def install(self, manifest: Manifest, fill: Callable[[Path], None]) -> None:
        """Make what ``fill`` writes into an empty folder the installed model; needs ``locked``."""
        folder = Path(tempfile.mkdtemp(prefix="files-", dir=self.folder))
        try:
            folder.chmod(0o755)  # other users' services may read the store
            fill(folder)
            for path in folder.iterdir():
                _flush(path)
            _flush(folder)
            self._name(replace(manifest, folder=folder.name, files=record_files(folder)))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def remove(self) -> None:
        """Remove everything, the manifest first; needs ``locked``."""
        (self.folder / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.folder)

    def _clean(self) -> None:
        keep = set()
        with contextlib.suppress(ModelCorruptError):
            model = self.installed()
            keep = set() if model is None else {_MANIFEST, model.folder.name}
        for path in self.folder.iterdir():
            if path.name not in keep:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _name(self, manifest: Manifest) -> None:
        new = self.folder / f"{_MANIFEST}.new"
        new.write_text(manifest.to_json(), encoding="utf-8")
        _flush(new)
        new.replace(self.folder / _MANIFEST)
        _flush(self.folder)


def _flush(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
