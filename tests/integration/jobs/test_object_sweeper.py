"""Objects left by crashes are erased; those that are new or belong to a job stay."""

import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.object_sweeper import ObjectSweeper
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.storage.store import Storage, open_storage
from tests.support.job_samples import new_job

pytestmark = pytest.mark.asyncio


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "objects"))


async def put(storage: Storage, key: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"sound"

    await storage.put(key, chunks(), max_bytes=100)


async def keys(storage: Storage) -> set[str]:
    return {found.key async for found in storage.list()}


async def test_only_old_objects_without_a_job_are_erased(
    database: Database, storage: Storage, tmp_path: Path
) -> None:
    job = new_job(prefix="separations/known")
    await JobRepository(database).create(job)
    for name in ("known", "lost", "fresh"):
        await put(storage, f"separations/{name}/input")
        await put(storage, f"separations/{name}/stems/vocals.wav")
    long_ago = time.time() - 7200
    for path in (tmp_path / "objects").rglob("*"):
        if path.is_file() and "fresh" not in path.parts:
            os.utime(path, (long_ago, long_ago))
    assert await ObjectSweeper(database, JobObjects(database, storage)).sweep() == 1
    assert {key.split("/")[1] for key in await keys(storage)} == {"known", "fresh"}


async def test_a_prefix_with_any_new_object_stays(
    database: Database, storage: Storage, tmp_path: Path
) -> None:
    await put(storage, "separations/slow/input")
    old = tmp_path / "objects" / "separations" / "slow" / "input"
    os.utime(old, (0, 0))
    await put(storage, "separations/slow/stems/vocals.wav")
    assert await ObjectSweeper(database, JobObjects(database, storage)).sweep() == 0


async def test_unfinished_files_are_removed(database: Database, storage: Storage, tmp_path: Path) -> None:
    unfinished = tmp_path / "objects" / "separations" / "input#1"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half")
    os.utime(unfinished, (0, 0))
    await ObjectSweeper(database, JobObjects(database, storage)).sweep()
    assert not unfinished.exists()


async def test_one_of_many_workers_sweeps_per_period(database: Database, storage: Storage) -> None:
    objects = JobObjects(database, storage)
    often = [ObjectSweeper(database, objects, timedelta(), period=0.0) for _ in range(2)]
    seldom = [ObjectSweeper(database, objects) for _ in range(2)]
    assert [await leftovers.sweep_if_due() for leftovers in seldom] == [0, None]
    assert [await leftovers.sweep_if_due() for leftovers in often] == [0, 0]
