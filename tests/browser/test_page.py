"""The page works as a person uses it."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.access.keys import ApiKeys
from spleeter_microservice.jobs.claims import Claim, Failure
from spleeter_microservice.jobs.job import Result
from spleeter_microservice.web.services import Services
from tests.support.chromium import PATIENCE, Browser
from tests.support.job_samples import WARNINGS
from tests.support.waiting import eventually
from tests.support.web_service import ALL, Player, WorkerRegistry, song

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

PICTURES = os.environ.get("SPLEETER_PICTURES")
"""Return a directory for screenshots."""
SHOWN = "document.querySelector('{}').checkVisibility()"


@pytest_asyncio.fixture
async def key(services: Services) -> str:
    key, _ = await services.keys.create("ann", ALL)
    return key


@pytest_asyncio.fixture
async def page(browser: Browser, address: str, key: str) -> AsyncIterator[Browser]:
    """The page, with a key; at the end the console has said nothing bad."""
    await browser.look(1280)
    await browser.open(address)
    await browser.type("#key", key)
    await browser.click("h1")
    await browser.shows("small[data-stems='5']", "not installed")
    yield browser
    assert [line for line in await browser.console() if " 4" not in line and "ERR_" not in line] == []


@pytest.fixture
def song_file(tmp_path: Path) -> Path:
    path = tmp_path / "My Song.wav"
    path.write_bytes(song(2))
    return path


async def picture(page: Browser, name: str) -> None:
    """Take pictures, wide and narrow, light and dark; nothing may stick out."""
    for width, scheme in ((1280, "light"), (380, "light"), (380, "dark"), (1280, "dark")):
        await page.look(width, scheme)
        assert await page.run("return document.documentElement.scrollWidth") <= width
        if PICTURES:
            await page.screenshot(Path(PICTURES) / f"{name}-{width}-{scheme}.png")
    await page.look(1280)


async def send(page: Browser, path: Path) -> None:
    await page.type("#file", str(path))
    await page.click("#submit")


async def the_claim(services: Services, player: Player) -> Claim:
    """Wait until there is a job, and claim it."""
    await eventually(lambda: any_jobs(services), within=PATIENCE)
    return await player.claim()


async def any_jobs(services: Services) -> bool:
    return bool((await services.repository.page("ann")).jobs)


async def no_jobs(services: Services) -> bool:
    return not await any_jobs(services)


async def put_peaks(services: Services, prefix: str, stem: str) -> None:
    data = [value for k in range(1000) for value in (-k % 97 - 20, k % 97 + 20)]
    peaks = {"version": 1, "bits": 8, "length": 1000, "data": data}

    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(peaks).encode()

    await services.storage.put(f"{prefix}/peaks/{stem}.json", chunks(), max_bytes=10**6)


async def finish(services: Services, player: Player, claim: Claim) -> None:
    for stem in ("vocals", "accompaniment"):
        await put_peaks(services, claim.job.prefix, stem)
    await player.publish(claim, song(2))


async def test_a_song_is_uploaded_followed_played_and_saved(
    page: Browser, services: Services, player: Player, song_file: Path, tmp_path: Path
) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    await page.devtools("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
    await page.type("#file", str(song_file))
    await picture(page, "form")
    await page.click("#submit")
    await page.shows("#status", "Next in the queue")
    claim = await the_claim(services, player)
    await player.claims.progress(claim, 0.42)
    await page.shows("#status", "Separating: 42 %")
    assert await page.run("return document.getElementById('progress').value") == pytest.approx(0.42)
    await picture(page, "work")
    await finish(services, player, claim)
    await page.shows("#result-title", "My Song.wav")
    await page.shows("#model", "Separated by the model 2stems.")
    assert await page.run("return document.activeElement.id") == "result-title"
    await page.click("li:nth-child(1) button:nth-child(1)")
    await page.until("document.querySelector('audio')?.duration > 1.9")
    await picture(page, "result")
    await page.click("li:nth-child(2) button:nth-child(2)")
    await page.click("#archive")
    await saved(downloads / "My Song - accompaniment.wav", song(2) + b"accompaniment")
    await saved(downloads / "My Song.zip")
    with zipfile.ZipFile(downloads / "My Song.zip") as archive:
        assert archive.testzip() is None
    await page.click("#delete")
    await page.until(SHOWN.format("#form"))
    await eventually(lambda: no_jobs(services), within=PATIENCE)


async def saved(path: Path, content: bytes | None = None) -> None:
    """Wait for a download."""
    await eventually(
        lambda: path.exists() and (content is None or path.read_bytes() == content), within=PATIENCE
    )


async def test_models_carry_their_labels(
    page: Browser, services: Services, player: Player, fleet: WorkerRegistry, song_file: Path
) -> None:
    await page.shows("small[data-stems='4']", "approximate")
    assert await page.text("small[data-stems='2']") == ""
    assert await page.run("return document.querySelector('input[value=\"5\"]').disabled")


async def test_anomalies_are_shown_for_what_they_are(
    page: Browser, services: Services, player: Player, song_file: Path
) -> None:
    await send(page, song_file)
    claim = await the_claim(services, player)
    await player.claims.publish(
        claim,
        Result(
            stems=(),
            model="4stems-lite",
            quality={"suspect": ["vocals: silent", "bass: equals the mix"]},
            warnings=WARNINGS,
            details={"model_quality": "approximate", "experimental": True},
        ),
    )
    await page.shows("#anomalies", "Unusual: vocals: silent; bass: equals the mix. This finds failures")
    await page.shows("#warnings", "At 0:00: Silence fills a gap of 0.4 s.")
    await page.shows("#warnings", "At 0:02: The last 2.0 s are not in the file.")
    await page.shows("#model", "Separated by the model 4stems-lite. approximate experimental")
    await picture(page, "anomalies")


async def test_a_reload_continues_where_it_was(
    page: Browser, services: Services, player: Player, song_file: Path, address: str
) -> None:
    await send(page, song_file)
    claim = await the_claim(services, player)
    await page.shows("#status", "Separating")
    await page.open(address)
    await page.shows("#status", "Separating")
    await finish(services, player, claim)
    await page.shows("#result-title", "My Song.wav")
    await page.shows("#players .note", "Estimated quality: fair")
    await page.open(address)
    await page.shows("#result-title", "My Song.wav")
    await page.click("#another")
    await page.until(SHOWN.format("#form"))
    await page.open(address)
    await page.until(SHOWN.format("#form"))


async def test_cancelling_erases(
    page: Browser, services: Services, player: Player, song_file: Path, tmp_path: Path
) -> None:
    await send(page, song_file)
    await page.shows("#status", "Next in the queue")
    await page.click("#cancel")
    await page.until(SHOWN.format("#form"))
    await eventually(lambda: no_jobs(services), within=PATIENCE)
    assert not await page.run("return " + SHOWN.format("#problem"))
    await send(page, song_file)
    await page.shows("#status", "Next in the queue")
    (tmp_path / "objects").rename(tmp_path / "away")
    await page.click("#cancel")
    await page.shows("#problem", "cannot be deleted yet")
    (tmp_path / "away").rename(tmp_path / "objects")
    assert await services.retention.sweep() == 1


async def test_problems_are_shown_in_the_api_s_words(
    page: Browser, services: Services, player: Player, song_file: Path, tmp_path: Path
) -> None:
    await page.click("#submit")
    await page.shows("#problem", "Choose a song first.")
    assert await page.run("return document.activeElement.id") == "file"
    (tmp_path / "text.wav").write_bytes(b"not a song " * 20)
    await send(page, tmp_path / "text.wav")
    await page.shows("#problem", "not in a known audio format")
    await picture(page, "problem")
    await page.run("document.getElementById('file').value = ''")
    await send(page, song_file)
    await player.fail(await the_claim(services, player), Failure("truncated-audio", "It ends too early."))
    await page.shows("#problem", "It ends too early.")
    await page.until(SHOWN.format("#form"))


async def test_a_wrong_key_is_reported_at_once(browser: Browser, address: str) -> None:
    await browser.look(1280)
    await browser.open(address)
    await browser.click("#submit")
    await browser.shows("#problem", "Enter your key first.")
    await browser.type("#key", "sms_wrong")
    await browser.click("h1")
    await browser.shows("#problem", "mistyped")


async def test_the_page_warns_of_a_guessable_key(
    browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ApiKeys, "warnings", ["Key 1 can be guessed."])
    await browser.open(address)
    await browser.shows("#warning", "Key 1 can be guessed.")


async def test_every_control_has_an_accessible_name(page: Browser) -> None:
    unnamed = """return [...document.querySelectorAll('input, select, button, progress')]
        .filter(one => !one.labels?.length && !one.innerText && !one.textContent.trim() && !one.ariaLabel
            && !one.ariaLabelledByElements?.length)
        .map(one => one.outerHTML)"""
    assert await page.run(unnamed) == []
    assert await page.run("return document.documentElement.lang") == "en"


async def test_the_page_loads_nothing_from_other_hosts_and_runs_nothing_inline(
    page: Browser, address: str
) -> None:
    async with httpx.AsyncClient(base_url=address, verify=False) as client:
        answer = await client.get("/")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert (await client.get("/", headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
        for name in ("page.css", "page.js", "api.js", "players.js", "icon.svg"):
            assert (await client.get(f"/static/{name}")).headers["content-type"]
        for name in ("nothing.js", "%2e%2e%2fpage.py", "index.html/"):
            assert (await client.get(f"/static/{name}")).status_code == 404
    blocked = await page.run(
        """const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
        return window.ran"""
    )
    assert blocked is None
    assert any("Content Security Policy" in line for line in await page.console())
