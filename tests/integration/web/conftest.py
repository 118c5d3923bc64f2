"""Fixtures: a running API and its clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.database.connection import Database
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.web_service import ALL, Player, WorkerRegistry, build_services, served


@pytest.fixture
def fleet() -> WorkerRegistry:
    return WorkerRegistry()


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    """The services; a test module may override this fixture."""
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
    async with httpx.AsyncClient(base_url=address, verify=False, timeout=None) as client:
        yield client


@pytest_asyncio.fixture
async def ann(address: str, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the tenant ``ann`` with every scope."""
    key, _ = await services.keys.create("ann", ALL)
    async with httpx.AsyncClient(
        base_url=address, verify=False, timeout=None, headers={"X-API-KEY": key}
    ) as client:
        yield client


@pytest_asyncio.fixture
async def bob(address: str, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another tenant."""
    key, _ = await services.keys.create("bob", ALL)
    async with httpx.AsyncClient(
        base_url=address, verify=False, timeout=None, headers={"X-API-KEY": key}
    ) as client:
        yield client
