"""Fixtures: the API and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.web.services import Services
from tests.integration.conftest import database
from tests.integration.web.conftest import address, fleet, player, services
from tests.support import chromium, media_keys
from tests.support.chromium import Browser
from tests.support.media_keys import Desktop
from tests.support.web_service import ALL

__all__ = ["address", "database", "fleet", "player", "services"]


@pytest.fixture(scope="session")
def desktop_address() -> Iterator[str]:
    with media_keys.bus() as address:
        yield address


@pytest.fixture
def desktop(desktop_address: str) -> Desktop:
    """The desktop that passes media keys on to the browser."""
    return Desktop(desktop_address)


@pytest.fixture(scope="session")
def browser_session(desktop_address: str) -> Iterator[str]:
    with chromium.running(DBUS_SESSION_BUS_ADDRESS=desktop_address) as session:
        yield session


@pytest_asyncio.fixture
async def browser(browser_session: str) -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(base_url=browser_session, timeout=None, verify=False) as client:
        yield Browser(client)


@pytest_asyncio.fixture
async def downloads(browser: Browser, tmp_path: Path) -> Path:
    """The folder that the browser saves files in."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    await browser.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    return folder


@pytest_asyncio.fixture
async def key(services: Services) -> str:
    key, _ = await services.keys.create("ann", ALL)
    return key


@pytest_asyncio.fixture
async def page(browser: Browser, address: str, key: str) -> AsyncIterator[Browser]:
    """The page, with a key; at the end the console has said nothing bad."""
    await browser.look(1440)
    await browser.open(address)
    await browser.run("localStorage.clear(); sessionStorage.clear()")
    await browser.open("about:blank")
    await browser.open(f"{address}/#key={key}")
    await browser.shows("[data-count='2']", "Vocals, Accompaniment")
    yield browser
    assert [line for line in await browser.console() if " 4" not in line and "ERR_" not in line] == []
