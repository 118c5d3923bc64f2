"""Fixtures that tests of several rooms share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.repository import JobRepository


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open a database of the test's own."""
    async with Database(database_url, timeout=60) as opened:
        yield opened


@pytest.fixture
def repository(database: Database) -> JobRepository:
    """Return the jobs in that database."""
    return JobRepository(database)
