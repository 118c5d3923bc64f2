"""The models of this machine: reported to the worker registry, and loaded by slots."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from spleeter_microservice.errors import DatabaseUnavailableError, ModelCorruptError
from spleeter_microservice.jobs.worker_registry import RegisteredModel, WorkerRegistry, best
from spleeter_microservice.models.catalogue import BuiltIn, ModelEntry
from spleeter_microservice.models.directory import InstalledModel
from spleeter_microservice.models.manifest import Manifest
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.sandbox.messages import InferenceModel
from spleeter_microservice.worker.worker import Worker

logger = logging.getLogger(__name__)

FIRST_MODEL = "2stems"
"""The model that is pulled if none is installed, without which a worker could do nothing."""
_REPORT_SECONDS = 10.0
_POLL_SECONDS = 0.1


class Inventory:
    """The models of this machine.

    Args:
        store: store of installed models.
        version: version of this program, on which results depend as well.
    """

    def __init__(self, store: ModelStore, version: str) -> None:
        self.store = store
        self.version = version
        self._verified: dict[str, tuple[Manifest, InferenceModel]] = {}

    def models(self) -> list[RegisteredModel]:
        """Return every model of the catalogue with its variants, installed or not."""
        return [model for entry in self.store.catalogue for model in self._registered(entry)]

    def choose(
        self, result_version: str, stems: int, bandwidth: str, name: str | None = None
    ) -> RegisteredModel:
        """Return the installed model with a result version, or else the one that ``best`` finds.

        Raises:
            ModelNotInstalledError: if none is installed.
        """
        models = [model for model in self.models() if model.installed]
        named = (model for model in models if model.result_version == result_version)
        return next(named, None) or best(models, stems, bandwidth, name)

    def load(self, name: str) -> InferenceModel:
        """Return what a slot needs to run an installed model; verify its files only if it has changed.

        Raises:
            ModelError: if it is not installed, or damaged.
        """
        installed = self._read(self.store.catalogue.requirement(name))
        verified = self._verified.get(name)
        if verified is None or installed is None or installed.manifest != verified[0]:
            model = self.store.find(name)
            verified = self._verified[name] = ((model.base or model).manifest, inference_model(model))
        return verified[1]

    def load_first(self) -> InferenceModel:
        """Return the model that slots load at their start; pull it if no model is installed.

        Raises:
            ModelError: if it cannot be pulled, or is damaged.
        """
        installed = [model.name for model in self.models() if model.installed]
        if not installed:
            logger.info("pulling a model", extra={"model": FIRST_MODEL})
            self.store.pull(FIRST_MODEL)
            installed = [FIRST_MODEL]
        return self.load(FIRST_MODEL if FIRST_MODEL in installed else installed[0])

    def _read(self, entry: ModelEntry) -> InstalledModel | None:
        try:
            return self.store.read(entry.name)
        except ModelCorruptError:
            return None

    def _registered(self, entry: ModelEntry) -> Iterator[RegisteredModel]:
        installed = self._read(self.store.catalogue.requirement(entry.name))
        weights = installed.manifest.weights_sha256[:16] if installed else ""
        if isinstance(entry.source, BuiltIn):
            weights = f"{entry.sha256[:16]}-{weights}"
        for selection in entry.selections():
            yield RegisteredModel(
                name=selection.name,
                stems=entry.stems,
                installed=installed is not None,
                result_version=f"{selection.name}:{weights}:{self.version}" if installed else "",
                bandwidth=selection.bandwidth,
                quality=entry.quality,
                experimental=entry.experimental,
                licence=entry.licence,
            )


def inference_model(model: InstalledModel) -> InferenceModel:
    """Return what an inference process and its self-check need of a model."""
    parts = [model] if model.base is None else [model, model.base]
    hashes = {
        str(part.folder / name): entry.sha256 for part in parts for name, entry in part.manifest.files.items()
    }
    return InferenceModel(model.files, model.manifest.weights_sha256, hashes)


async def report_models(worker: Worker, registry: WorkerRegistry, inventory: Inventory) -> None:
    """Report the models to the registry, at once and after each change, until cancelled."""
    reported: object = None
    while True:
        models = await asyncio.to_thread(inventory.models)
        number = worker.number
        if number is not None and reported != (number, models):
            try:
                await registry.report(number, models)
                reported = (number, models)
            except DatabaseUnavailableError as error:
                logger.warning("cannot report models: %s", error)
        await _until_due(worker, number if reported == (number, models) else None)


async def _until_due(worker: Worker, reported: int | None) -> None:
    """Wait until the next check for changes, or until the worker has a number without a report."""
    deadline = time.monotonic() + _REPORT_SECONDS
    await asyncio.sleep(_POLL_SECONDS)
    while worker.number in (None, reported) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
