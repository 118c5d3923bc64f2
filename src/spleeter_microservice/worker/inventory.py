"""The models of this machine, as the fleet knows them and as slots load them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

from spleeter_microservice.errors import DatabaseUnavailableError, ModelCorruptError
from spleeter_microservice.jobs.worker_registry import RegisteredModel, WorkerRegistry, best
from spleeter_microservice.models.builtin import BASE, BuiltIn
from spleeter_microservice.models.catalogue import ModelEntry
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
    """What can be separated with here.

    Args:
        store: of models.
        version: of this program, on which results depend, too.
    """

    def __init__(self, store: ModelStore, version: str) -> None:
        self.store = store
        self.version = version
        self._verified: dict[str, tuple[Manifest, InferenceModel]] = {}

    def models(self) -> list[RegisteredModel]:
        """Give every model that there is, and every one that could be."""
        listed = [model for entry in self.store.catalogue for model in self._variants(entry)]
        return listed + [self._built_in(model) for model in self.store.built_in.values()]

    def choose(self, result_version: str, stems: int, bandwidth: str) -> RegisteredModel:
        """Give the model of an result_version, or the best one for a number of stems when it is gone.

        Raises:
            ModelNotInstalledError: when there is none.
        """
        models = [model for model in self.models() if model.installed]
        named = (model for model in models if model.result_version == result_version)
        return next(named, None) or best(models, stems, bandwidth)

    def load(self, name: str) -> InferenceModel:
        """Give what a slot needs of an installed model; its files are verified once.

        Raises:
            ModelError: when it is not installed, or damaged.
        """
        present = self._present(BASE if name in self.store.built_in else name)
        known = self._verified.get(name)
        if known is None or present is None or present.manifest != known[0]:
            model = self.store.find(name)
            known = self._verified[name] = ((model.base or model).manifest, inference_model(model))
        return known[1]

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

    def _present(self, name: str) -> InstalledModel | None:
        try:
            return self.store.installed_model(name)
        except ModelCorruptError:
            return None

    def _built_in(self, model: BuiltIn) -> RegisteredModel:
        base = self._present(BASE)
        manifest = model.manifest()
        weights = f"{manifest.weights_sha256[:16]}-{base.manifest.weights_sha256[:16]}" if base else ""
        return RegisteredModel(
            name=model.name,
            stems=model.stems,
            installed=base is not None,
            result_version=f"{model.name}:{weights}:{self.version}" if base else "",
            quality="approximate",
            experimental=model.experimental,
            licence=manifest.licence,
        )

    def _variants(self, entry: ModelEntry) -> Iterator[RegisteredModel]:
        installed = self._present(entry.name)
        weights = installed.manifest.weights_sha256 if installed else ""
        for name in (entry.name, entry.variant):
            yield RegisteredModel(
                name=name,
                stems=entry.architecture.stems,
                installed=installed is not None,
                result_version=f"{name}:{weights[:16]}:{self.version}" if installed else "",
                bandwidth="16kHz" if name == entry.variant else "official",
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
