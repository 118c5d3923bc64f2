"""The page works as a person uses it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from spleeter_microservice.access import principal
from spleeter_microservice.access.keys import ApiKeys
from spleeter_microservice.jobs.claims import Claim, Failure
from spleeter_microservice.jobs.job import JobOptions, Result
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.services import Services
from tests.support.chromium import Browser
from tests.support.job_samples import WARNINGS
from tests.support.waiting import eventually
from tests.support.web_service import Player, WorkerRegistry, served, song

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

PICTURES = Path(__file__).parents[2] / "pictures"
"""Directory of the screenshots that a run leaves."""
WIDTHS = (320, 768, 1440, 2560)
AXE = Path(__file__).parents[2] / "page" / "node_modules" / "axe-core" / "axe.min.js"


DROPPED = """
const data = new DataTransfer();
data.items.add(new File([new Uint8Array(arguments[0])], arguments[1]));
const event = { bubbles: true, dataTransfer: data };
for (const kind of ['dragover', 'drop']) document.body.dispatchEvent(new DragEvent(kind, event));
"""


@pytest.fixture
def song_file(tmp_path: Path) -> Path:
    path = tmp_path / "My Song.wav"
    path.write_bytes(song(2))
    return path


async def picture(page: Browser, name: str) -> None:
    """Look at the page in every width, theme and language: nothing sticks out, and axe finds nothing."""
    PICTURES.mkdir(exist_ok=True)
    for language in ("en", "fr"):
        await page.run(
            "const list = document.getElementById('language'); list.value = arguments[0];"
            "list.dispatchEvent(new Event('change', { bubbles: true }))",
            language,
        )
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                await page.look(width, scheme)
                assert await page.run("return document.documentElement.scrollWidth") <= width
                await page.screenshot(PICTURES / f"{name}-{width}-{scheme}-{language}.png")
        await page.run(AXE.read_text(encoding="utf-8"))
        found = await page.run_async("axe.run({ resultTypes: ['violations'] }).then(arguments[0])")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    await page.run(
        "const list = document.getElementById('language'); list.value = 'en';"
        "list.dispatchEvent(new Event('change', { bubbles: true }))"
    )
    await page.look(1440)


async def send(page: Browser, *paths: Path) -> None:
    await page.type("#file", "\n".join(map(str, paths)))


async def the_claim(services: Services, player: Player) -> Claim:
    """Wait until there is a job, and claim it."""
    await eventually(lambda: any_jobs(services))
    return await player.claim()


async def any_jobs(services: Services) -> bool:
    return bool((await services.repository.page("ann")).jobs)


async def one_job(services: Services) -> bool:
    return len((await services.repository.page("ann")).jobs) == 1


async def no_jobs(services: Services) -> bool:
    return not await any_jobs(services)


async def put_peaks(services: Services, prefix: str, stem: str) -> None:
    data = [value for k in range(1000) for value in (-k % 97 - 97, 97 - k % 97)]
    peaks = {"version": 1, "bits": 8, "length": 1000, "data": data}

    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(peaks).encode()

    await services.storage.put(f"{prefix}/peaks/{stem}.json", chunks(), max_bytes=10**6)


async def finish(services: Services, player: Player, claim: Claim) -> None:
    for stem in ("vocals", "accompaniment"):
        await put_peaks(services, claim.job.prefix, stem)
    await player.publish(claim, song(2))


async def saved(path: Path, content: bytes | None = None) -> None:
    """Wait for a download."""
    await eventually(lambda: path.exists() and (content is None or path.read_bytes() == content))


async def test_a_song_is_uploaded_followed_and_saved(
    page: Browser, services: Services, player: Player, song_file: Path, downloads: Path
) -> None:
    await picture(page, "empty")
    await send(page, song_file)
    await page.shows(".row .status", "Waiting: yours is next")
    claim = await the_claim(services, player)
    await player.claims.progress(claim, 0.42)
    await page.shows(".row .status", "Separating: 42%")
    bar = await page.run("return [...document.querySelectorAll('.row progress')].map(one => one.value)")
    assert bar == [1, pytest.approx(0.42), pytest.approx(1 + 2 * 0.42)]  # sent, separated, and both
    assert await page.run("return document.title") == "42% · Stems"
    await finish(services, player, claim)
    await page.shows("#song-title", "My Song.wav")
    await page.shows("#model", "Separated by 2stems")
    await page.shows(".stem:nth-child(1)", "probably fair quality")
    await picture(page, "song")
    await page.click(".stem:nth-child(2) [title^=Download]")
    await page.click("#archive")
    await saved(downloads / "My Song - accompaniment.wav", song(2) + b"accompaniment")
    await saved(downloads / "My Song.zip")


async def test_what_is_deleted_can_be_undone_and_is_erased_when_the_page_is_left(
    page: Browser, services: Services, player: Player, song_file: Path
) -> None:
    await send(page, song_file)
    await finish(services, player, await the_claim(services, player))
    await page.shows("#song-title", "My Song.wav")
    await page.click("#delete")
    await page.shows(".toast", "Deleted.")
    assert not await page.run("return document.querySelector('.row')")
    await page.click(".toast button")
    await page.shows(".row", "My Song.wav")
    assert await any_jobs(services)
    await page.click(".row [aria-label='Delete My Song.wav']")
    await page.shows(".toast", "Deleted.")
    await page.open("about:blank")
    await eventually(lambda: no_jobs(services))


async def test_models_carry_their_labels(page: Browser, fleet: WorkerRegistry) -> None:
    await page.shows("[data-count='4']", "Approximate model")
    await page.shows("[data-count='5']", "not installed here")
    assert await page.run("return document.querySelector('input[value=\"5\"]').disabled")


async def test_a_preset_chooses_everything_at_once(
    page: Browser, services: Services, song_file: Path
) -> None:
    await page.click("input[value=karaoke]")
    assert not await page.run("return document.querySelector('#codec')")
    await send(page, song_file)
    await page.shows(".row .status", "Waiting: yours is next")
    options = (await services.repository.page("ann")).jobs[0].options
    assert options.preset == "karaoke"
    assert options.mixes == {"karaoke": "instrumental"}


async def test_mixes_are_checked_ordered_and_listed(
    page: Browser, services: Services, player: Player, song_file: Path
) -> None:
    await page.click("input[name=stems][value='4']")
    await page.click(".choices details summary")
    await page.click(".chip:nth-child(2)")
    await page.type("#own-mix", "sing=instrumental+vocalz@-9dB")
    await page.shows("#own-mix-note", "No stem is called vocalz. The stems are vocals, drums, bass, other.")
    assert await page.run("return document.querySelector('.extra button').disabled")
    await picture(page, "mixes")
    await page.run("document.querySelector('#own-mix').value = ''")
    await page.type("#own-mix", "sing=instrumental+vocals@-9dB")
    await page.click(".extra button")
    await page.shows(".chip:last-child", "Sing")
    await send(page, song_file)
    await page.shows(".row .status", "Waiting: yours is next")
    claim = await the_claim(services, player)
    assert claim.job.options.mixes == {"no_drums": "vocals+bass+other", "sing": "instrumental+vocals@-9dB"}
    await player.publish(claim)
    await page.shows(".stems", "Without drums")


async def test_the_example_is_brought_by_the_service_and_only_once(
    browser: Browser, services: Services, address: str, key: str, player: Player
) -> None:
    folder = services.config.models / "2stems" / "files-1"
    folder.mkdir(parents=True)
    (folder / "example.mp3").write_bytes(song(1))
    await browser.look(1440)
    await browser.open("about:blank")
    await browser.open(f"{address}/#key={key}")
    for again in (False, True):
        await browser.shows("#example", "No song at hand? Hear an example")
        await browser.click("#example")
        await browser.until("document.querySelector('.row.selected')")
        if not again:
            await player.separate()
        await browser.shows("#song-title", "example.mp3")
        assert await browser.run("return document.querySelectorAll('.row').length") == 1
        await browser.run("history.replaceState(null, '', location.pathname); location.reload()")


async def test_a_key_that_may_only_read_cannot_bring_songs(
    browser: Browser, services: Services, address: str
) -> None:
    key, _ = await services.keys.create("ann", frozenset({principal.Scope.READ}))
    await browser.open("about:blank")
    await browser.open(f"{address}/#key={key}")
    await browser.shows(".zone", "Your key may listen, but not bring songs.")
    assert await browser.run("return document.querySelector('#file').disabled")


async def test_anomalies_and_warnings_are_shown_for_what_they_are(
    page: Browser, services: Services, player: Player, song_file: Path
) -> None:
    named = song_file.with_stem("A very long name of a song, " * 5)
    await send(page, song_file.rename(named))
    claim = await the_claim(services, player)
    await finish(services, player, claim)
    result = (await services.repository.get("ann", claim.job.id)).result
    assert result is not None
    odd = replace(
        result,
        model="4stems-lite",
        quality={"suspect": ["bass: the stem equals the mix", "the stems do not sum to the mix"]},
        details={"model_quality": "approximate", "experimental": True},
    )
    await change_result(services, claim, odd)
    await insert_songs(services, 50)
    await page.run("location.reload()")
    await page.shows(
        ".song .notice",
        "Unusual: Bass: this stem is the whole song; the stems together are not the song. This",
    )
    await page.shows(
        "#warnings li:nth-child(2)", "At 0:00: Part of the song is missing; silence takes its place."
    )
    await page.shows(".song .labels", "Approximate model: fine for practice, not for release")
    await picture(page, "unusual")


async def change_result(services: Services, claim: Claim, result: Result) -> None:
    async with services.database.transaction() as transaction:
        await transaction.connection.execute(
            "UPDATE spleeter_jobs SET result = %s, warnings = %s WHERE id = %s",
            (json.dumps(result.to_json()), json.dumps(WARNINGS), claim.job.id),
        )


async def test_thirty_seconds_are_tried_before_the_whole_song(
    page: Browser, services: Services, player: Player, song_file: Path
) -> None:
    await page.click(".check input")
    await page.run(DROPPED, [*song_file.read_bytes()], song_file.name)
    part = await the_claim(services, player)
    await finish(services, player, part)
    await page.shows("#whole", "Now the whole song")
    await page.click("#whole")
    await page.shows(".row .status", "Waiting: yours is next")
    whole = await player.claim()
    assert (part.job.options.duration, whole.job.options.duration) == (30, None)
    assert whole.job.content_hash == part.job.content_hash


async def test_a_reload_continues_where_it_was(
    page: Browser, services: Services, player: Player, song_file: Path
) -> None:
    await send(page, song_file)
    claim = await the_claim(services, player)
    await page.shows(".row .status", "Separating")
    await page.run("location.reload()")
    await page.shows(".row .status", "Separating")
    await finish(services, player, claim)
    await page.shows("#song-title", "My Song.wav")
    await page.click(".stem:nth-child(1) [aria-label='Mute Vocals']")
    await page.until("location.hash.includes('mix=vocals.m')")
    await page.run("location.reload()")
    await page.shows("#song-title", "My Song.wav")
    await page.until("document.querySelector('[aria-label=\"Mute Vocals\"]').ariaPressed === 'true'")


async def test_a_refused_song_says_what_to_do_and_is_tried_again(
    page: Browser, services: Services, player: Player, song_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wav").write_bytes(b"not a song " * 20)
    (tmp_path / "notes.txt").write_bytes(b"no song")
    await send(page, tmp_path / "text.wav", tmp_path / "notes.txt")
    await page.shows(".upload:nth-child(1) .status", "not in a known audio format")
    await page.shows(
        ".upload:nth-child(2) .status", "This does not look like sound. Choose a song or a film."
    )
    await page.click(".upload:nth-child(1) summary")
    await page.shows(".upload:nth-child(1) pre", "/problems/")
    await picture(page, "refused")
    await page.click(".upload:nth-child(2) [aria-label='Remove from the list']")
    await page.click(".upload:nth-child(1) [aria-label='Remove from the list']")
    await send(page, song_file)
    await player.fail(await the_claim(services, player), Failure("truncated-audio", "It ends too early."))
    await page.shows(".row .status", "It ends too early.")
    await page.shows(".work", "No stems were made. The service still has the song: try again")
    await page.click("#again")
    await page.shows(".row .status", "Waiting: yours is next")
    await eventually(lambda: one_job(services))
    await finish(services, player, await player.claim())
    await page.shows("#song-title", "My Song.wav")
    assert await page.run("return document.querySelectorAll('.row').length") == 1


async def test_a_wrong_key_is_reported_and_a_right_one_is_taken(
    browser: Browser, address: str, key: str
) -> None:
    await browser.look(1440)
    await browser.open(address)
    await browser.run("localStorage.clear(); sessionStorage.clear()")
    await browser.open("about:blank")
    await browser.open(address)
    await browser.type("#key", "sms_wrong")
    await browser.click("form.key [type=submit]")
    await browser.shows("#problem", "This key is mistyped or incomplete.")
    await picture(browser, "key")
    await browser.type("#key", key)
    await browser.click("form.key [type=submit]")
    await browser.shows("[data-count='2']", "Vocals")
    assert not await browser.run("return document.querySelector('#problem')")


async def test_a_key_in_the_address_is_taken_out_of_it(page: Browser, key: str) -> None:
    assert key not in await page.run("return location.href")
    assert await page.run("return localStorage.getItem('stems-key')") is None


async def test_the_page_works_under_a_path(
    browser: Browser, services: Services, player: Player, key: str, song_file: Path
) -> None:
    """A proxy removes the path from the requests that it passes on."""
    app = create_app(replace(services, config=replace(services.config, root_path="/stems")))

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"].removeprefix("/stems")
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    async with served(proxy) as url:  # type: ignore[arg-type]
        await browser.open("about:blank")
        await browser.open(f"{url}/stems/#key={key}")
        await browser.shows("[data-count='2']", "Vocals")
        await send(browser, song_file)
        await browser.shows(".row .status", "Waiting: yours is next")
        await finish(services, player, await the_claim(services, player))
        await browser.shows("#song-title", "My Song.wav")
        await browser.until("document.querySelector('canvas').width > 0")
        loaded = await browser.run("return performance.getEntriesByType('resource').map(one => one.name)")
    assert all(name.startswith(f"{url}/stems/") for name in loaded)


async def test_the_page_warns_of_a_guessable_key(
    browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ApiKeys, "warnings", ["Key 1 can be guessed."])
    await browser.open("about:blank")
    await browser.open(address)
    await browser.shows("#unsafe", "Key 1 can be guessed.")


async def test_ten_thousand_songs_are_scrolled_found_sorted_and_deleted(
    page: Browser, services: Services
) -> None:
    await insert_songs(services, 10_000)
    await page.run("location.reload()")
    await page.shows(".songs header", "10,000 songs")
    await page.shows(".scroll .row", "Song 10000.wav")
    assert await page.run("return document.querySelectorAll('.scroll .row').length") < 40
    await page.run("document.querySelector('.scroll').scrollTop = 1e9")
    await page.shows("[aria-posinset='10000']", "Song 1.wav")
    assert await page.run(f"return {LISTS}") <= 3  # the first, one to reach the end, and perhaps one between
    await choose(page, "#order", "name")
    await page.shows("[aria-posinset='2']", "Song 2.wav")
    await choose(page, "#order", "expires_at")
    await page.shows(".scroll .row", "24 hr left")
    await choose(page, "#filter", "failed")
    await page.shows(".songs header", "1,000 songs")
    await page.type("[type=search]", "SONG 471")
    await page.shows(".songs header", "1 song")  # 4710, since 471 has not failed
    await page.type("[type=search]", "x")
    await page.shows(".empty", "No song fits.")
    await page.click(".empty button")
    await page.shows(".songs header", "10,000 songs")
    await page.click(".songs header button")
    await page.shows(".toast", "All songs deleted.")
    await page.shows(".empty", "Your songs appear here.")
    await page.click(".toast button")
    await page.shows(".songs header", "10,000 songs")
    await page.click(".songs header button")
    await page.shows(".toast", "All songs deleted.")
    await page.open("about:blank")
    await eventually(lambda: no_jobs(services))


LISTS = "performance.getEntriesByType('resource').filter(one => one.name.includes('count=true')).length"
"""How often the page has asked for songs of the list."""


async def choose(page: Browser, selector: str, value: str) -> None:
    await page.run(
        "const list = document.querySelector(arguments[0]); list.value = arguments[1];"
        "list.dispatchEvent(new Event('change', { bubbles: true }))",
        selector,
        value,
    )


async def insert_songs(services: Services, count: int) -> None:
    """Insert songs, the last of which is the newest; every tenth has failed, and all are kept for a day."""
    async with services.database.transaction() as transaction:
        await transaction.connection.execute("SET LOCAL session_replication_role = replica")  # no triggers
        await transaction.connection.execute(
            "INSERT INTO spleeter_jobs (id, tenant, state, options, options_hash, prefix, input_key,"
            " input_name, audio_seconds, content_hash, retention, finished_at, expires_at) "
            "SELECT overlay(gen_random_uuid()::text placing lpad(to_hex(n), 8, '0') from 1)::uuid, 'ann',"
            " CASE WHEN n %% 10 = 0 THEN 'failed' ELSE 'succeeded' END, %s, '', n::text, '',"
            " 'Song ' || n || '.wav', n, '', '24h', now(), now() + '24h' FROM generate_series(1, %s) n",
            (json.dumps(JobOptions().to_json()), count),
        )


async def test_the_page_loads_nothing_from_other_hosts_and_runs_nothing_inline(
    page: Browser, address: str
) -> None:
    async with httpx.AsyncClient(base_url=address, verify=False) as client:
        index = await client.get("/")
        assert (await client.get("/", headers={"If-None-Match": index.headers["etag"]})).status_code == 304
        for name in ("nothing.js", "%2e%2e%2findex.html", "index.html/"):
            assert (await client.get(f"/assets/{name}")).status_code == 404
    loaded = await page.run("return performance.getEntriesByType('resource').map(one => one.name)")
    assert loaded
    assert all(name.startswith(address) for name in loaded)
    size = await page.run(
        "return performance.getEntriesByType('resource').filter(one => one.name.includes('/assets/'))"
        ".reduce((sum, one) => sum + one.encodedBodySize, 0)"
    )
    assert 0 < size <= 150_000
    blocked = await page.run(
        """const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.body.append(script);
        return window.ran"""
    )
    assert blocked is None
    assert any("Content Security Policy" in line for line in await page.console())
