"""A full disk is answered with 507, leaves nothing half-written, and is forgotten once there is space."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.migrate import migrate
from spleeter_microservice.errors import DatabaseFullError
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import eventually
from tests.support.web_service import build_services, served, song

pytestmark = pytest.mark.asyncio

PART = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
WAL_SEGMENT_BYTES = 16 << 20
FILL_TABLE = """
INSERT INTO spleeter_objects (key, prefix)
SELECT gen_random_uuid()::text || repeat('x', 100), '' FROM generate_series(1, 150000)
"""


async def client_of(services: Services, url: str) -> httpx.AsyncClient:
    key, _ = await services.keys.create("ann")
    return httpx.AsyncClient(base_url=url, timeout=None, headers={"X-API-KEY": key})


async def send(client: httpx.AsyncClient, seed: int = 0) -> httpx.Response:
    return await client.post("/v1/separations", files={"file": ("a.wav", song(60, seed=seed))})


async def accepted(client: httpx.AsyncClient) -> bool:
    return (await send(client)).status_code == 202


def require_full(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["type"]) == (507, "/problems/disk-full")
    assert "Try again later" in answer.json()["detail"]
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize("place", ["spool", "objects"])
async def test_a_full_disk_of_uploads_or_objects(database: Database, tmp_path: Path, place: str) -> None:
    with small_disk(tmp_path / place, megabytes=2) as disk:
        services = build_services(database, tmp_path)
        async with served(create_app(services)) as url, await client_of(services, url) as client:
            begun = await client.post("/v1/uploads", headers=PART | {"Upload-Length": "400000"}, content=b"x")
            part: dict[str, Any] = {
                "url": begun.headers["Location"],
                "headers": PART | {"Upload-Offset": "1"},
            }
            before = disk.files()
            for room in (0, 100_000):
                disk.fill(room)
                require_full(await send(client))
                require_full(await client.patch(**part, content=bytes(399_999)))
                assert disk.files() == before
                disk.free()
            assert (await client.patch(**part, content=bytes(399_999))).status_code == 204
            assert (await client.delete(**part)).status_code == 204
            assert (await send(client)).status_code == 202
        assert len([path for path in (tmp_path / "objects").rglob("*") if path.is_file()]) == 1


async def fill_table(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(FILL_TABLE)


async def end_server(database: Database) -> None:
    """Make the server begin files for its log until it stops for want of space."""
    with contextlib.suppress(DatabaseFullError):
        for _ in range(10):
            async with database.transaction() as transaction:
                await transaction.connection.execute("SELECT pg_switch_wal(), txid_current()")


async def test_a_full_disk_of_the_database(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=80) as disk:
        if not disk.mounted:
            disk.fill(WAL_SEGMENT_BYTES + (1 << 20) + 4096)  # the server inherits the limit
        with EmbeddedPostgres(disk.folder / "pg") as server:
            migrate(server.url)
            async with Database(server.url, timeout=0.5, disk=disk.folder) as database:
                services = build_services(database, tmp_path)
                async with served(create_app(services)) as url, await client_of(services, url) as client:
                    await require_full_answers_while_full(disk, database, client)
                    disk.free()
                    if disk.mounted:
                        server.ensure_running()
                    else:
                        server.stop()
                        server.start()
                    await eventually(lambda: accepted(client))


async def require_full_answers_while_full(
    disk: SmallDisk, database: Database, client: httpx.AsyncClient
) -> None:
    if disk.mounted:
        disk.fill()
    with pytest.raises(DatabaseFullError):
        await fill_table(database)
    if disk.mounted:
        answers = [await send(client, seed) for seed in range(1, 30)]
        require_full(next(answer for answer in answers if answer.status_code != 202))
        assert {answer.status_code for answer in answers} <= {202, 507}
        await end_server(database)
        require_full(await send(client))
