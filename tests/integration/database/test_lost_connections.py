"""Connections that a restart of the server has ended are replaced together."""

from contextlib import AsyncExitStack

import psycopg
import pytest

from spleeter_microservice.database.connection import Database

CONNECTIONS = 4


@pytest.mark.asyncio
async def test_the_first_request_that_finds_a_lost_connection_finds_no_other(database_url: str) -> None:
    async with Database(database_url, connections=CONNECTIONS, timeout=60) as database:
        async with AsyncExitStack() as together:
            opened = [
                await together.enter_async_context(database.pool.connection()) for _ in range(CONNECTIONS)
            ]
            lost = [connection.info.backend_pid for connection in opened]
        with psycopg.connect(database_url) as other:
            other.execute("SELECT pg_terminate_backend(pid, 60000) FROM unnest(%s) AS pid", [lost])
        await database.ping()
        assert database.pool.get_stats()["connections_lost"] == 1
