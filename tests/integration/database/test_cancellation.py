"""Tasks that use the database end when they are cancelled."""

import asyncio

import pytest

from spleeter_microservice.database.connection import Database
from tests.support.waiting import eventually


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(6))
async def test_a_task_that_is_cancelled_while_it_gets_a_connection_ends(
    database_url: str, turns: int
) -> None:
    async def ask_for_ever(database: Database) -> None:
        while True:
            await database.ping()

    async with Database(database_url, connections=1, timeout=60) as database:
        async with database.transaction():
            asking = asyncio.create_task(ask_for_ever(database))
            await eventually(lambda: database.pool.get_stats().get("requests_waiting"))
        for _ in range(turns):  # of the event loop, until the connection is handed over
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
