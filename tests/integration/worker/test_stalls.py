"""A slot whose processes are stopped again and again takes its worker out of readiness until it works."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.job import JobOptions, State
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.sandbox import bounds
from spleeter_microservice.sandbox.inference import InferenceSlot, Limits
from spleeter_microservice.storage.store import open_storage
from spleeter_microservice.worker.inventory import Inventory
from spleeter_microservice.worker.separate_job import JobSeparator
from spleeter_microservice.worker.worker import Worker
from tests.support.audio_files import RATE, encode_kind, noise
from tests.support.job_samples import QUICK, at_work, new_job, until
from tests.support.tiny_store import NAME, checkpoint, tiny_store
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def slot(tmp_path: Path) -> AsyncIterator[InferenceSlot]:
    store = tiny_store(tmp_path / "models")
    (tmp_path / "checkpoint").mkdir()
    store.import_(NAME, checkpoint(tmp_path / "checkpoint"))
    (tmp_path / "work").mkdir()
    model, limits = Inventory(store, "1.2.3").load(NAME), Limits(stall_seconds=0.5)
    async with InferenceSlot(model, tmp_path / "work", models_folder=store.folder, limits=limits) as slot:
        yield slot


async def test_a_slot_that_stalls_twice_gets_no_job_until_it_works(
    database: Database, slot: InferenceSlot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "_SLOWER", 1)
    inventory = Inventory(tiny_store(tmp_path / "models"), "1.2.3")
    objects = JobObjects(database, open_storage(str(tmp_path / "objects")))
    separation = JobSeparator(objects, inventory, [slot])
    repository, registry = JobRepository(database), WorkerRegistry(database)
    worker = Worker(database, separation, objects.erase, QUICK, recovery=separation.recovery)
    new = new_job(options=JobOptions(stems=3))
    song = encode_kind(tmp_path / "song.mp3", noise(RATE), "mp3")
    await objects.storage.put_file(song, new.input_key, max_bytes=1 << 20)

    async def stop_all() -> None:
        while True:
            if slot.pid:
                os.kill(slot.pid, signal.SIGSTOP)
            await asyncio.sleep(0.05)

    async with at_work(worker):
        await registry.report(await eventually(lambda: worker.number), inventory.models())
        assert await registry.ready() == 1
        stopping = asyncio.create_task(stop_all())
        await repository.create(new)

        async def unready() -> bool:
            return await registry.ready() == 0

        await eventually(unready)
        job = await until(repository, new.id, State.QUEUED)
        assert (job.attempts, job.crashes) == (2, 2)
        stopping.cancel()
        monkeypatch.undo()
        await until(repository, new.id, State.SUCCEEDED)
        assert await eventually(registry.ready) == 1
        assert slot.stalls == 0
