"""Clients that read slowly hold little memory."""

import asyncio
from pathlib import Path

import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.repository import JobRepository
from tests.support.job_samples import new_job
from tests.support.waiting import still
from tests.support.web_process import running
from tests.support.web_service import Player, build_services

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

CLIENTS = 40
STEM_BYTES = 24 << 20
BYTES_PER_CLIENT = 5 << 19


@pytest.mark.parametrize("what", ["stems/vocals", "archive"])
async def test_clients_that_do_not_read_hold_little_memory(
    database_url: str, tmp_path: Path, what: str
) -> None:
    async with Database(database_url, timeout=60) as database, running(database_url, tmp_path) as api:
        await JobRepository(database).create(new_job())
        job = await Player(build_services(database, tmp_path)).separate(bytes(STEM_BYTES))
        request = f"GET /v1/separations/{job.id}/{what} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {api.key}\r\n\r\n"
        before, connections = 0, []
        for k in range(CLIENTS + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1 << 12)
            writer.write(request.encode())
            assert (await reader.readuntil(b"\r\n")).endswith(b"200 OK\r\n")
            connections.append(writer)
            if k == 0:  # what the first one needs, the process keeps
                before = api.memory()
        await still(lambda: (api.memory() - before) / CLIENTS < BYTES_PER_CLIENT)
        for writer in connections:
            writer.transport.abort()
