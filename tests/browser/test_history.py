"""The page goes on by itself after what passes, and says why a key is not accepted any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from spleeter_microservice.access.key_table import KeyTable
from spleeter_microservice.access.keys import ApiKeys
from spleeter_microservice.access.rate_limit import Rate, RateLimiter
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import RateLimitError
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.browser.test_page import choose, insert_songs
from tests.support.chromium import CONTROL, ENTER, TAB, Browser
from tests.support.cutting_proxy import CuttingProxy
from tests.support.web_service import ALL, WorkerRegistry, build_services, served

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


@pytest.fixture
def services(database: Database, fleet: WorkerRegistry, tmp_path: Path) -> Services:
    """Services with keys and a rate in the database; ten requests are allowed, and two more each second."""
    rate = RateLimiter(database, Rate(10, period=5), "requests")
    return build_services(database, tmp_path, fleet, requests=rate, keys=ApiKeys(KeyTable(database)))


@pytest_asyncio.fixture
async def proxy(services: Services) -> AsyncIterator[CuttingProxy]:
    """A proxy of the service that cuts every connection while ``cuts`` is large."""
    async with served(create_app(services)) as url, CuttingProxy([url], 0, (1, 1)).running() as proxy:
        yield proxy


@pytest.fixture
def address(proxy: CuttingProxy) -> str:
    return proxy.url


async def test_the_list_waits_until_the_rate_of_requests_allows_it(page: Browser, services: Services) -> None:
    await insert_songs(services, 20)
    with suppress(RateLimitError):
        for _ in range(20):
            await services.requests.take("ann")
    await page.run("location.reload()")
    await page.shows("#waits", "That was a lot at once. The page goes on by itself in a moment.")
    await page.shows(".scroll .row", "Song 20.wav")
    await page.until("!document.querySelector('#waits')")


async def test_the_list_goes_on_by_itself_after_a_lost_connection(
    page: Browser, services: Services, proxy: CuttingProxy
) -> None:
    await insert_songs(services, 20)
    await page.run("location.reload()")
    await page.shows(".scroll .row", "Song 20.wav")
    proxy.cuts = 10**6
    await choose(page, "#order", "name")
    await page.shows("#waits", "Connection lost. The page goes on by itself as soon as it is back.")
    proxy.cuts = 0
    await page.shows(".scroll .row", "Song 1.wav")
    await page.until("!document.querySelector('#waits')")


async def test_the_page_says_why_a_key_is_not_accepted_and_goes_on_with_the_next(
    page: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert_songs(services, 6)
    ended, _ = await services.keys.create("ann", ALL, lifetime=timedelta(microseconds=1))
    good, record = await services.keys.create("ann", ALL)
    await page.click(".top [aria-label='Change the key']")
    for key, text in (
        (ended, "This key has expired."),
        (good[:-1], "This key is mistyped or incomplete."),
        ("no key", "This key is not accepted."),
    ):
        await page.type("#key", key)
        await page.click("form.key [type=submit]")
        await page.shows("#problem", text)
    ends, _ = await services.keys.create("ann", ALL, lifetime=timedelta(days=1))
    for key in (good, ends):
        await page.type("#key", key)
        await page.click("form.key [type=submit]")
        await page.shows(".songs header", "6 songs")
        if key == good:
            await services.keys.revoke(record.key_id)
            await choose(page, "#order", "name")
            await page.shows("#problem", "This key was withdrawn.")
    tomorrow = services.keys.now() + timedelta(days=1)
    monkeypatch.setattr(services.keys, "now", lambda: tomorrow)
    await choose(page, "#order", "-name")
    await page.shows("#problem", "This key has expired. Ask the person who runs this service for a new one")
    assert await page.run("return sessionStorage.getItem('stems-key')") is None


async def test_a_song_is_opened_deleted_and_brought_back_by_keyboard_alone(
    page: Browser, services: Services
) -> None:
    await insert_songs(services, 6)
    await page.run("location.reload()")
    await page.shows(".scroll .row", "Song 6.wav")
    for _ in range(40):
        await page.press(TAB)
        if await page.run("return document.activeElement.matches('[aria-posinset=\"1\"] .pick')"):
            break
    await page.press(ENTER)
    await page.shows("#work-title", "Song 6.wav")
    await page.press(TAB)
    await page.press(ENTER)
    await page.shows(".toast", "Deleted.")
    await page.shows(".songs header", "5 songs")
    await page.until("document.activeElement.ariaLabel === 'Delete Song 5.wav'")
    await page.press(CONTROL, "z")
    await page.shows(".songs header", "6 songs")
    assert not await page.run("return document.querySelector('.toast')")


async def test_a_song_leaves_the_list_when_its_time_is_over(page: Browser, services: Services) -> None:
    await insert_songs(services, 3)
    async with services.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE spleeter_jobs SET expires_at = now() + '3s' WHERE input_name = 'Song 2.wav'"
        )
    await page.run("location.reload()")
    await page.shows(".songs header", "2 songs")
    assert "Song 2.wav" not in await page.text(".scroll")
