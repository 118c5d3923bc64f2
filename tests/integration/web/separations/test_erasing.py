"""What cannot be erased yet is shown as such, and erased when the object store can be written again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.web import health
from spleeter_microservice.web.services import Services
from tests.support.audit import audited
from tests.support.job_samples import expire
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.web_service import Player, WorkerRegistry, build_services, song

pytestmark = pytest.mark.asyncio


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return the disk of the object store."""
    with small_disk(tmp_path / "objects", megabytes=8) as disk:
        yield disk


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path, disk: SmallDisk) -> Services:
    return build_services(database, tmp_path, fleet)


async def test_erasing_waits_for_a_store_that_is_read_only(
    ann: httpx.AsyncClient,
    bob: httpx.AsyncClient,
    services: Services,
    player: Player,
    disk: SmallDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "_CACHED_SECONDS", 0.0)
    upload: dict[str, Any] = {"files": {"file": ("a.wav", song(seed=1))}}
    path = (await ann.post("/v1/separations", **upload)).headers["location"]
    await player.separate()
    stem = (await ann.get(path)).json()["stems"][0]["url"]
    await bob.post("/v1/separations", files={"file": ("b.wav", song(seed=2))})
    await expire(services.database, await player.separate())

    disk.set_read_only(True)
    ready = await ann.get("/health/ready")
    assert (ready.status_code, ready.json()["parts"]["storage"]["state"]) == (503, "unavailable")
    refused = await ann.post("/v1/separations", files={"file": ("a.wav", song(seed=3))})
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/storage-unavailable")
    assert (await ann.get(stem)).status_code == 200
    for _ in range(2):
        answer = await ann.delete(path)
        assert (answer.status_code, answer.headers["location"]) == (202, path)
        left = answer.json()
        assert (left["state"], left["stems"], left["archive_url"]) == ("erasing", [], None)
    assert (await ann.get(path)).json() == left
    for gone in (stem, f"{path}/archive", f"{path}/events"):
        assert (await ann.get(gone)).status_code == 404
    assert (await bob.get(path)).status_code == (await bob.delete(path)).status_code == 404
    for state, found in (("erasing", 1), ("succeeded", 0)):
        assert len((await ann.get(f"/v1/separations?state={state}")).json()["items"]) == found
    assert await services.retention.sweep() == 0
    assert (await bob.get("/v1/separations")).json()["items"][0]["state"] == "erasing"
    assert len(disk.files()) == 6

    disk.set_read_only(False)
    assert (await ann.get("/health/ready")).status_code == 200
    assert await services.retention.sweep() == 2
    assert disk.files() == []
    assert (await ann.get(path)).status_code == (await ann.delete(path)).status_code == 404
    actions = [record["action"] for record in audited(services.database.url)]
    assert actions.count("job.erased") == 1
