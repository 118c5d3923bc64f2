"""Songs reach the service through pauses, reloads, lost connections and refusals that pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from spleeter_microservice.access.rate_limit import Allowance, limited
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.chromium import Browser
from tests.support.waiting import eventually
from tests.support.web_service import ALL, served, song

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

DRAWN = """(() => {
    const { width, height } = document.querySelector('.sketch');
    const colours = document.querySelector('.sketch').getContext('2d').getImageData(0, 0, width, height).data;
    return colours.some(value => value > 0);
})()"""
PIECE = 8 << 20
"""Bytes that the page sends with a request."""


class Gate:
    """Holds the requests that send more than the first piece of a song, until it is opened.

    Attributes:
        offsets: where the pieces began that have arrived.
        breaks: whether it breaks the connection of the request that it has held.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.offsets: list[int] = []
        self.opened = asyncio.Event()
        self.breaks = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "PATCH":
            self.offsets.append(int(dict(scope["headers"])[b"upload-offset"]))
            if self.offsets[-1]:
                await self.opened.wait()
            if self.breaks:  # after half of a response
                await send(
                    {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]}
                )
                return
        await self.app(scope, receive, send)


@pytest_asyncio.fixture
async def gate(services: Services) -> Gate:
    return Gate(create_app(services))


@pytest_asyncio.fixture
async def address(gate: Gate) -> AsyncIterator[str]:
    async with served(gate) as url:  # type: ignore[arg-type]
        yield url
        gate.opened.set()


@pytest.fixture
def long_song(tmp_path: Path) -> Path:
    """Write a song that is sent in two pieces."""
    path = tmp_path / "Long.wav"
    path.write_bytes(song(60, rate=150_000))
    return path


KEPT = """
const [answer] = arguments, request = indexedDB.open("stems", 1);
request.onsuccess = () => {
  const found = request.result.transaction("uploads").objectStore("uploads").getAll();
  found.onsuccess = () => (request.result.close(), answer(found.result.some(({ url }) => url)));
};
"""
"""Answers whether the browser has written down where a song is sent to."""


async def half_sent(page: Browser, gate: Gate, path: Path) -> None:
    """Choose a song, and wait until its second piece is on its way."""
    await page.type("#file", str(path))
    await second_piece(gate, 1)


async def second_piece(gate: Gate, times: int) -> None:
    await eventually(lambda: gate.offsets == [0] + times * [PIECE])


async def arrived(page: Browser, services: Services, path: Path) -> None:
    """Wait until there is one separation, of exactly this song."""
    await page.shows(".row .status", "Waiting: yours is next")
    (job,) = (await services.repository.page("ann")).jobs
    await services.storage.get_file(job.input_key, stored := path.with_name("stored"))
    assert stored.read_bytes() == path.read_bytes()
    assert not await page.run("return document.querySelector('.upload')")


async def uploads(services: Services) -> int:
    async with services.database.transaction() as transaction:
        cursor = await transaction.connection.execute("SELECT count(*) AS n FROM spleeter_uploads")
        row = await cursor.fetchone()
    assert row is not None
    return int(row["n"])


async def nothing_left(services: Services) -> bool:
    return not await uploads(services)


@asynccontextmanager
async def offline(page: Browser) -> AsyncIterator[None]:
    """Take the browser off the network; requests under way stay."""
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await page.devtools("Network.emulateNetworkConditions", offline=True, **network)
    try:
        yield
    finally:
        await page.devtools("Network.emulateNetworkConditions", offline=False, **network)


async def test_a_song_goes_on_after_a_pause_and_after_a_reload(
    page: Browser, services: Services, gate: Gate, long_song: Path
) -> None:
    await half_sent(page, gate, long_song)
    await page.click(".upload [aria-label=Pause]")
    await page.shows(".upload .status", "Paused")
    await page.shows(".upload small", "1:00 · 9 MB")
    await page.until(DRAWN)
    await page.click(".upload [aria-label='Go on']")
    await second_piece(gate, 2)
    await eventually(lambda: page.run_async(KEPT))
    await page.run("location.reload()")
    await second_piece(gate, 3)
    await page.shows(".upload", "Long.wav")
    gate.opened.set()
    await arrived(page, services, long_song)


async def test_a_song_goes_on_by_itself_after_a_lost_connection(
    page: Browser, services: Services, gate: Gate, long_song: Path
) -> None:
    await half_sent(page, gate, long_song)
    async with offline(page):
        gate.breaks = True
        gate.opened.set()
        await page.shows(".upload .status", "Connection lost. Sending goes on by itself once it is back.")
        gate.breaks = False
    await arrived(page, services, long_song)


async def test_a_cancelled_song_is_removed_at_the_service_also_while_it_pauses(
    page: Browser, services: Services, gate: Gate, long_song: Path
) -> None:
    for pause in (False, True):
        gate.offsets.clear()
        await half_sent(page, gate, long_song)
        assert await uploads(services) == 1
        if pause:
            await page.click(".upload [aria-label=Pause]")
            await page.shows(".upload .status", "Paused")
        await page.click(".upload [aria-label=Cancel]")
        await eventually(lambda: nothing_left(services))
        await page.until("!document.querySelector('.upload')")


async def test_a_song_waits_until_the_rate_of_requests_allows_it(
    page: Browser, services: Services, long_song: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    gate.opened.set()

    async def refuse(name: str) -> Allowance:
        raise limited(0.5)

    with monkeypatch.context() as context:
        context.setattr(services.requests, "take", refuse)
        await page.type("#file", str(long_song))
        await page.shows(".upload .status", "Sending goes on by itself.")
        assert "Too many requests. Try again in 1 s." in await page.text(".upload .status")
    await arrived(page, services, long_song)


async def test_a_song_that_has_become_too_large_is_refused_with_the_limit(
    page: Browser, services: Services, gate: Gate, long_song: Path
) -> None:
    await half_sent(page, gate, long_song)
    config = replace(services.config, max_file_bytes=1 << 20)
    gate.app.state.services = replace(services, config=config)
    gate.opened.set()
    await page.shows(".upload .status", "The file is larger than the limit of 1048576 bytes.")
    await page.click(".upload summary")
    await page.shows(".upload pre", "413")


async def test_a_revoked_key_is_asked_for_again_and_the_song_goes_on_with_the_next(
    page: Browser, services: Services, gate: Gate, long_song: Path
) -> None:
    await half_sent(page, gate, long_song)
    (record,) = await services.keys.store.list("ann")
    await services.keys.revoke(record.key_id)
    gate.opened.set()
    await page.shows("#problem", "This key was withdrawn.")
    key, _ = await services.keys.create("ann", ALL)
    await page.type("#key", key)
    await page.click("form.key [type=submit]")
    await arrived(page, services, long_song)
    assert not await page.run("return document.querySelector('#problem')")
