"""A running API, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.jobs.database import Database
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.web_service import ALL, Fleet, Player, build_services, served


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as opened:
        yield opened


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def services(database: Database, fleet: Fleet, tmp_path: Path) -> Services:
    """The services; a module of tests may have others by a fixture of this name."""
    return build_services(database, tmp_path, fleet)


@pytest.fixture
def player(services: Services) -> Player:
    return Player(services)


@pytest_asyncio.fixture
async def address(services: Services) -> AsyncIterator[str]:
    async with served(create_app(services)) as url:
        yield url


@pytest_asyncio.fixture
async def stranger(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with httpx.AsyncClient(base_url=address, verify=False, timeout=30) as client:
        yield client


@pytest_asyncio.fixture
async def ann(address: str, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the tenant ``ann``, who may do everything."""
    key, _ = await services.keys.create("ann", ALL)
    async with httpx.AsyncClient(
        base_url=address, verify=False, timeout=30, headers={"X-API-KEY": key}
    ) as client:
        yield client


@pytest_asyncio.fixture
async def bob(address: str, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another tenant."""
    key, _ = await services.keys.create("bob", ALL)
    async with httpx.AsyncClient(
        base_url=address, verify=False, timeout=30, headers={"X-API-KEY": key}
    ) as client:
        yield client
