"""A worker that separates for real, with two small networks of random weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.models.catalogue import Catalogue
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.web.services import Services
from spleeter_microservice.worker.delivery import Deliverer
from spleeter_microservice.worker.inventory import Inventory
from spleeter_microservice.worker.separate_job import JobLimits, JobSeparator
from spleeter_microservice.worker.worker import Observe, Worker, WorkerOptions
from tests.support.random_models import random_arrays, random_entry
from tests.support.tensorflow_files import write_checkpoint
from tests.support.tiny_store import ARCHITECTURE
from tests.support.waiting import eventually

_SMALL = replace(ARCHITECTURE, stems=("vocals", "accompaniment"))


def install(folder: Path) -> ModelStore:
    """Install the networks under the name ``2stems``."""
    arrays = random_arrays(_SMALL)
    store = ModelStore(folder / "models", catalogue=Catalogue(random_entry("2stems", _SMALL)))
    (folder / "models").mkdir()
    (folder / "checkpoint").mkdir()
    step: dict[str, NDArray[np.generic]] = {"global_step": np.zeros((), np.int64)}
    write_checkpoint(folder / "checkpoint" / "model", {**arrays, **step})
    store.import_("2stems", folder / "checkpoint")
    return store


@dataclass(frozen=True)
class TinyWorker:
    """A running worker, its slot, and the slot's work folder."""

    worker: Worker
    slot: InferenceSlot
    work: Path
    task: asyncio.Task[None]


@asynccontextmanager
async def working(
    services: Services,
    store: ModelStore,
    work: Path,
    limits: JobLimits | None = None,
    observe: Observe = lambda *_: None,
) -> AsyncIterator[TinyWorker]:
    """Run a worker with one slot on the services' database and object store, and report its models."""
    work.mkdir()
    inventory = Inventory(store, "1.2.3")
    async with InferenceSlot(inventory.load("2stems"), work, models_folder=store.folder, cores=1) as slot:
        deliverer = Deliverer(services.buckets, services.outgoing)
        separation = JobSeparator(services.objects, inventory, [slot], limits, deliverer)
        worker = Worker(
            services.database,
            separation,
            services.objects.erase,
            WorkerOptions(grace=0.1),
            observe=observe,
        )
        task = asyncio.create_task(worker.run())
        try:
            number = await eventually(lambda: worker.number)
            await WorkerRegistry(services.database).report(number, inventory.models())
            yield TinyWorker(worker, slot, work, task)
        finally:
            worker.stop()
            await task


async def ended(client: httpx.AsyncClient, created: httpx.Response) -> dict[str, Any]:
    """Wait until a separation has ended, and return it."""

    async def job() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(created.headers["location"])).json()
        return found if found["finished_at"] else None

    return await eventually(job)
