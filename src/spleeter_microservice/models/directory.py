"""The directory of one model, replaced atomically.

::

    NAME/manifest.json        describes the installed model; written last and replaced atomically
    NAME/files-XXXXXXXX/      files that the manifest names
    .NAME.lock                locked by the process that changes NAME

Files are never changed in place: a replacement is written to a directory of its own, and its manifest makes
it the installed model. The replaced directory stays until the next change, for readers of the old manifest.
Files that a killed process leaves behind are in no manifest.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from filelock import FileLock

from spleeter_microservice.errors import DiskFullError, ModelCorruptError, UnwritableOutputError
from spleeter_microservice.files import FULL, flush_to_disk, replace_atomically
from spleeter_microservice.models.manifest import Manifest, record_files, verify_files
from spleeter_microservice.separation.separator import ModelFiles
from spleeter_microservice.separation.spleeter.architecture import UNetArchitecture

ModelQuality = Literal["official", "approximate", "own"]

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class InstalledModel:
    """A model that can be run.

    Attributes:
        name: name that the caller asked for.
        folder: directory of ``{stem}.onnx`` and ``{stem}.bin``, or of the second network of a cascade.
        architecture: architecture of the model.
        manifest: description of the installed files.
        base: model whose networks a cascade runs first.
        quality: ``official`` for Deezer's weights, ``approximate`` for built-in ones, ``own`` for those of a
            configuration file.
        experimental: whether a stem is not good enough to be relied on.
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
            directory=self.folder,
            config=self.architecture.to_config(),
            base=self.base.folder if self.base else None,
            stems=self.architecture.stems,
            sample_rate=self.architecture.sample_rate,
        )


@dataclass(frozen=True)
class ModelDirectory:
    """The directory of one model.

    Attributes:
        folder: the directory, which has the model's name.
        repair: command that reinstalls the model, for error messages.
    """

    folder: Path
    repair: str

    def exists(self) -> bool:
        """Return whether a model is installed, even if damaged."""
        return os.path.exists(self.folder / _MANIFEST)  # noqa: PTH110  # False where it may not be looked

    def read(self) -> InstalledModel | None:
        """Return the installed model without verifying its files.

        Raises:
            ModelCorruptError: if the manifest cannot be read.
        """
        path = self.folder / _MANIFEST
        try:
            manifest = Manifest.from_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ModelCorruptError(f"{path} cannot be read ({error}). Repair it: {self.repair}") from error
        return InstalledModel(manifest.name, self.folder / manifest.folder, manifest.architecture, manifest)

    def read_verified(self) -> InstalledModel | None:
        """Return the installed model after comparing the hash of every file with the manifest.

        Raises:
            ModelCorruptError: if a file differs from what was installed.
        """
        model = self.read()
        while model is not None:
            try:
                verify_files(model.folder, model.manifest.files, self.repair)
            except ModelCorruptError:
                before, model = model, self.read()
                if model == before:  # otherwise it was replaced while its files were hashed
                    raise
            else:
                break
        return model

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that every change needs; wait for a process that holds it.

        Files that the manifest does not name are removed first.

        Raises:
            DiskFullError: if no space is left, here or in the block.
            UnwritableOutputError: if the directory cannot be written for another reason.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder.with_name(f".{self.folder.name}.lock")):
                self.folder.mkdir(exist_ok=True)
                self._clean()
                yield
        except OSError as error:
            kind = DiskFullError if error.errno in FULL else UnwritableOutputError
            raise kind(
                f"Cannot write the model into {self.folder}: {error.strerror or error}. Free space there, "
                "make it writable, or choose another directory with SPLEETER_MODELS_DIR."
            ) from error

    @contextlib.contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """Create a directory for the duration of a block that is ``locked``."""
        with tempfile.TemporaryDirectory(prefix="work-", dir=self.folder) as work:
            yield Path(work)

    def install(self, manifest: Manifest, write: Callable[[Path], None]) -> None:
        """Replace the model; needs ``locked``.

        Args:
            manifest: description of the new model; ``folder`` and ``files`` are filled in.
            write: writes the model's files into an empty directory.
        """
        folder = Path(tempfile.mkdtemp(prefix="files-", dir=self.folder))
        try:
            folder.chmod(0o755)  # services of other users may read the models
            write(folder)
            for path in (*folder.iterdir(), folder):
                flush_to_disk(path)
            complete = replace(manifest, folder=folder.name, files=record_files(folder))
            with replace_atomically(self.folder / _MANIFEST, flush=True) as new:
                new.write_text(complete.to_json(), encoding="utf-8")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def remove(self) -> None:
        """Remove everything, the manifest first; needs ``locked``."""
        (self.folder / _MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.folder)

    def _clean(self) -> None:
        kept: set[str] = set()
        with contextlib.suppress(ModelCorruptError):
            if model := self.read():
                kept = {_MANIFEST, model.folder.name}
        for path in self.folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
