"""Fixtures: the API and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.integration.conftest import database
from tests.integration.web.conftest import address, fleet, player, services
from tests.support import chromium
from tests.support.chromium import Browser

__all__ = ["address", "database", "fleet", "player", "services"]


@pytest.fixture(scope="session")
def browser_session() -> Iterator[str]:
    with chromium.running() as session:
        yield session


@pytest_asyncio.fixture
async def browser(browser_session: str) -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(base_url=browser_session, timeout=60, verify=False) as client:
        yield Browser(client)


@pytest_asyncio.fixture
async def downloads(browser: Browser, tmp_path: Path) -> Path:
    """The folder that the browser saves files in."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    await browser.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    return folder
