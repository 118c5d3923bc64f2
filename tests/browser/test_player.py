"""The page plays what a real service separates: in step, from previews, while the work still goes on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from spleeter_microservice.settings import Settings
from tests.support import firefox, media_keys
from tests.support.audio_files import RATE, noise
from tests.support.chromium import ENTER, ESCAPE, RIGHT, SHIFT, TAB, Browser
from tests.support.media_keys import Desktop
from tests.support.service import KEY, Service, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

SECONDS = 25


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model_settings: Settings) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("serve"), model_settings.models_dir) as service:
        yield service


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a song in which loud and quiet halves of a second alternate."""
    path = tmp_path_factory.mktemp("songs") / "Beats.wav"
    samples = noise(SECONDS * RATE, seed=3)
    samples[(np.arange(len(samples)) // (RATE // 2)) % 2 == 1] *= 0.05
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


@pytest_asyncio.fixture
async def page(browser: Browser, service: Service) -> AsyncIterator[Browser]:
    """The page of the service with its key; at the end the console has said nothing bad."""
    await browser.look(1440)
    await browser.open("about:blank")
    await browser.open(f"{service.url}/#key={KEY}")
    await browser.shows("[data-count='2']", "Vocals, Accompaniment")
    yield browser
    assert [line for line in await browser.console() if "ERR_" not in line and " 503 " not in line] == []


async def place(page: Browser) -> float:
    return float(await page.run("return stems.engine.value.place"))


async def press(page: Browser, **event: object) -> None:
    await page.run(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...arguments[0] }))", event
    )


async def opened(page: Browser, service: Service, song: Path) -> str:
    """Send the song, or find it again, and wait until it can be played."""
    if not numbers(service, song):
        await page.type("#file", str(song))
    row = row_of(song)
    await page.until(row)
    await page.run(f"{row}.click()")
    await page.shows("#song-title", song.name)
    await page.until("document.querySelector('#play')?.disabled === false")
    return numbers(service, song)[-1]


def row_of(song: Path) -> str:
    """Return the expression of the row of a song's first separation."""
    return (
        "[...document.querySelectorAll('button.pick')]"
        f".findLast(one => one.innerText.includes({song.name!r}))"
    )


def jobs(service: Service) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = service.client.get("/v1/separations").json()["items"]
    return items


def numbers(service: Service, song: Path) -> list[str]:
    """Return the numbers of the separations of a song, the newest first."""
    items = jobs(service)
    return [item["id"] for item in items if item["input"]["name"] == song.name]


async def test_a_song_plays_as_soon_as_its_first_segments_are_made(
    page: Browser, service: Service, song: Path
) -> None:
    number = await opened(page, service, song)
    await page.click("#play")
    await page.until("stems.engine.value?.place > 0.3 && stems.engine.value.level() > 0.01")
    assert await page.run("return navigator.mediaSession.playbackState") == "playing"
    began = await place(page)
    await page.until(f"stems.engine.value.place > {began} + 1")
    await page.run("stems.engine.value.seek(12)")
    await page.until("stems.engine.value.place > 12.2 && stems.engine.value.level() > 0.01")
    await page.click("#play")
    await page.until("!stems.engine.value.playing")
    stopped = await place(page)
    await asyncio.sleep(0.3)
    assert await place(page) == stopped
    service.wait_for(number, "succeeded")


async def test_mute_and_solo_change_what_is_heard_and_keys_do_the_same(
    page: Browser, service: Service, song: Path
) -> None:
    await opened(page, service, song)
    await page.click("#play")
    await page.until("stems.engine.value?.level('accompaniment') > 0.001")
    await page.click(".stem:nth-child(2) .mark:nth-child(1)")
    await page.until("stems.engine.value.level('accompaniment') === 0")
    await press(page, key="2", code="Digit2")
    await page.until("stems.engine.value.level('accompaniment') > 0.001")
    await press(page, key="!", code="Digit1", shiftKey=True)
    await page.until("stems.engine.value.level('accompaniment') === 0")
    await press(page, key=" ")
    await page.until("!stems.engine.value.playing")


async def test_media_keys_play_pause_and_seek(
    page: Browser, service: Service, song: Path, desktop: Desktop
) -> None:
    await opened(page, service, song)
    await page.click("#play")
    await eventually(desktop.has_player)
    await page.until("stems.engine.value?.place > 0.3")
    metadata = desktop.shown("Metadata")
    assert {"Beats.wav", str(SECONDS * 10**6)} < {*metadata}
    track = metadata[metadata.index("mpris:trackid") + 2]
    keys = {"Play": True, "Pause": False, "PlayPause": True}
    for key, at in (("Play", 20), ("Pause", 16), ("Pause", 12), ("PlayPause", 8)):
        desktop.press(key)
        desktop.press("SetPosition", f"objpath:{track}", f"int64:{at * 10**6}")
        await page.until(f"stems.engine.value.place >= {at} && stems.engine.value.place < {at + 3}")
        assert await page.run("return stems.engine.value.playing") == keys[key], (key, at)
    await eventually(lambda: 8e6 <= int(desktop.shown("Position")[-1]) < 25e6)
    assert "Playing" in desktop.shown("PlaybackStatus")
    desktop.press("Stop")
    await page.until("!stems.engine.value.playing && stems.engine.value.place === 0")


async def test_a_loop_repeats_and_speed_and_pitch_are_independent(
    page: Browser, service: Service, song: Path
) -> None:
    await opened(page, service, song)
    await page.click("#play")
    await page.until("stems.engine.value?.playing")
    await page.run("stems.engine.value.loop({ from: 9.8, to: 10.3 })")
    places = []
    for _ in range(20):
        places.append(await place(page))
        await asyncio.sleep(0.1)
    assert all(9.75 <= one <= 10.3 for one in places)
    assert sum(after < before for before, after in itertools.pairwise(places)) >= 2
    await page.run("stems.engine.value.loop(null)")
    await page.run_async("stems.engine.value.bend(0.5, 3).then(() => arguments[0]())")
    began, clock = await place(page), await page.run("return stems.engine.value.context.currentTime")
    await page.until(f"stems.engine.value.place > {began} + 1")
    elapsed = await page.run("return stems.engine.value.context.currentTime") - clock
    assert (await place(page) - began) / elapsed == pytest.approx(0.5, abs=0.15)
    await page.until("stems.engine.value.level() > 0.01")
    await press(page, key="l")
    await page.until("location.hash.includes('loop=0.00-25.00')")
    await page.run("document.querySelector('.handle.from').focus()")
    await page.press(RIGHT)
    await page.until("location.hash.includes('loop=0.10-25.00')")


async def test_sound_starts_with_the_click_and_ends_with_the_song(
    page: Browser, service: Service, song: Path
) -> None:
    await opened(page, service, song)
    await page.run("document.querySelector('#play').click()")
    await page.until("stems.engine.value?.level() > 0.001")
    await page.click("#delete")
    await page.until("stems.engine.value === null")
    await page.click(".toast button")


FOCUS = """
const element = document.activeElement;
if (element === document.body) return null;
const shape = element.closest('label') ?? element;
const outlined = [element, shape].some(one => getComputedStyle(one).outlineStyle !== 'none');
const { left, top, width, height } = shape.getBoundingClientRect();
const above = document.elementFromPoint(left + width / 2, top + height / 2);
window.before ??= document.body;
const inOrder = Boolean(window.before.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING)
    || window.before.contains(element);
window.before = element;
return [element.outerHTML.slice(0, 110), outlined, shape.contains(above), inOrder];
"""
REACHABLE = """
const all = [...document.querySelectorAll('button, select, input, a, summary, [tabindex="0"]')];
return all.filter(one => !one.disabled && one.checkVisibility() && (one.type !== 'radio' || one.checked))
    .map(one => one.outerHTML.slice(0, 110));
"""


@pytest.mark.parametrize("width", [1440, 320])
async def test_everything_is_reached_by_the_tab_key_in_order_and_seen(
    page: Browser, service: Service, song: Path, width: int
) -> None:
    await page.look(width)
    await opened(page, service, song)
    await page.run("document.querySelector('#language').focus()")
    await page.press(TAB)
    await page.press(SHIFT, TAB)
    seen: list[list[object]] = []
    while (found := await page.run(FOCUS)) and len(seen) < 200:
        seen.append(found)
        await page.press(TAB)
    assert [place for place, *is_fine in seen if is_fine != [True, True, True]] == []
    assert {place for place, *_ in seen} >= set(await page.run(REACHABLE))


async def test_the_player_s_keys_leave_buttons_fields_and_the_help_alone(
    page: Browser, service: Service, song: Path
) -> None:
    await opened(page, service, song)
    focus = "document.querySelector(arguments[0]).focus()"
    await page.run(focus, "#play")
    await page.press(" ")
    await page.until("stems.engine.value?.playing")
    await page.press(ENTER)
    await page.until("!stems.engine.value.playing")
    await page.run(focus, ".stem:nth-child(2) .mark")
    await page.press(" ")
    await page.until("document.activeElement.ariaPressed === 'true'")
    await page.press("2")
    await page.until("document.activeElement.ariaPressed === 'false'")
    await page.press(SHIFT, "?")
    await page.until("document.querySelector('dialog').open")
    await page.press(" ")  # on the dialog's own button
    await page.until("!document.querySelector('dialog').open")
    await page.press(SHIFT, "?")
    await page.until("document.querySelector('dialog').open")
    await page.press(ESCAPE)
    await page.until("!document.querySelector('dialog').open && document.activeElement.matches('.mark')")
    assert not await page.run("return stems.engine.value.playing")
    await page.press(TAB)
    await page.press(TAB)
    await page.until("document.activeElement.ariaLabel === 'Volume of Accompaniment'")


async def test_stems_stay_in_step_over_ten_minutes(page: Browser, service: Service, song: Path) -> None:
    number = await opened(page, service, song)
    segment = f"/v1/separations/{number}/preview/accompaniment/0"
    # Both stems of a song of ten minutes have one sound: so their meters must see the same at the same time.
    await page.run(
        """const [path, key] = arguments;
        const begin = async () => {
            const data = await (await fetch(path, { headers: { 'X-API-KEY': key } })).arrayBuffer();
            const song = { duration: 600, segmentSeconds: 10 };
            const { segments, rate } = stems.encoded(['a', 'b'], 10, async () => data.slice(0));
            const engine = new stems.Engine(song, segments, rate, Infinity, () => {});
            await engine.play();
            window.twins = engine;
        };
        begin()""",
        segment,
        KEY,
    )
    await page.until("window.twins?.level('a') > 0.001")
    for start in (0, 299.5, 589):
        await page.run(f"twins.seek({start})")
        await page.until(f"twins.place > {start} + 0.6")
        # The sound may go on between the two looks, but meters that are a sample apart never see the same.
        await page.until("((a, b) => a > 0.001 && a === b)(twins.level('a'), twins.level('b'))")
    await page.run("twins.close()")


async def test_a_saved_mix_equals_the_service_s(
    page: Browser, service: Service, song: Path, downloads: Path
) -> None:
    number = await opened(page, service, song)
    await page.run(
        "const slider = document.querySelector('.stem:nth-child(1) input[type=range]');"
        "slider.value = -6; slider.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    await page.until("document.querySelector('#save-mix').disabled === false")  # once all is separated
    await page.click("#save-mix")
    await page.click(".stem:nth-child(1) [title^=Download]")
    path = downloads / "Beats – mix.wav"
    await eventually(path.exists)
    found, rate = soundfile.read(path, dtype="int16")
    done = service.job(number)
    vocals = service.client.get(done["stems"][0]["url"]).content
    saved = downloads / "Beats - vocals.wav"
    await eventually(lambda: saved.exists() and saved.read_bytes() == vocals)
    await page.click("#full")
    await page.until("document.querySelector('#full').ariaPressed === 'true'")
    assert await page.run(  # although the pointer is over it
        "const ground = id => getComputedStyle(document.getElementById(id)).backgroundColor;"
        "return ground('full') === ground('save-mix')"
    )
    await page.click("#play")
    await page.until("stems.engine.value?.place > 0.3 && stems.engine.value.level() > 0.01")
    assert await page.run("return stems.engine.value.context.sampleRate") == RATE
    job = service.submit(song, mixes='{"ours": "vocals@-6dB+accompaniment"}')
    done = service.wait_for(job["id"])
    (downloads / "ours.wav").write_bytes(service.client.get(done["mixes"][0]["url"]).content)
    wanted, _ = soundfile.read(downloads / "ours.wav", dtype="int16")
    assert rate == RATE
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 2  # each stem was rounded before
    await page.open("about:blank")
    await page.open(f"{service.url}/#song={done['id']}&key={KEY}")
    listen = "document.querySelector('[aria-label=\"Listen to Ours\"]')"
    await page.until(listen)
    await page.run(f"{listen}.click()")
    await page.until("location.hash.includes('mix=vocals.v-6')")


async def test_a_mix_of_stems_in_another_format_is_made_by_the_service(
    page: Browser, service: Service, song: Path, downloads: Path
) -> None:
    number = await opened(page, service, song)
    fields = {"codec": "flac", "mixes": '{"ours": "vocals@-6dB"}'}
    done = service.wait_for(service.submit(song, **fields)["id"])
    await page.open("about:blank")
    await page.open(f"{service.url}/#song={done['id']}&mix=vocals.v-6~accompaniment.m&key={KEY}")
    await page.until("document.querySelector('#save-mix')?.disabled === false")
    await page.click("#save-mix")
    path = downloads / "Beats – vocals.flac"
    await eventually(path.exists)
    ours = service.client.get(done["mixes"][0]["url"]).content
    found, wanted = (soundfile.read(file, dtype="int16")[0] for file in (path, BytesIO(ours)))
    assert np.array_equal(found, wanted)
    await eventually(lambda: not any("mix" in job["options"]["mixes"] for job in jobs(service)))
    await page.click("#full")
    await page.until("document.querySelector('#full').ariaPressed === 'true'")
    await page.click("#play")
    await page.until("stems.engine.value?.place > 0.3")
    assert await page.run("return stems.engine.value.context.sampleRate") == RATE
    assert await page.run_async(FURTHEST, service.wait_for(number)["stems"], done["stems"]) == 0


FURTHEST = """
const [some, others, done] = arguments;
(async () => {
    const both = await Promise.all([some, others].map(files => stems.fullStems(files, 10)));
    let furthest = 0;
    for (const segment of [2, 0, 1]) {
        const [these, those] = await Promise.all(both.map(({ segments }) =>
            new Promise(loaded => segments.want([segment], () => loaded(segments.ready(segment))))));
        these.forEach((sound, stem) => [0, 1].forEach(channel => {
            const compared = those[stem].getChannelData(channel);
            sound.getChannelData(channel).forEach((sample, k) => {
                furthest = Math.max(furthest, Math.abs(sample - compared[k]));
            });
        }));
    }
    return furthest;
})().then(done, error => done(String(error)));
"""
"""How far the samples of stems are apart at most."""


async def test_a_song_without_previews_plays_its_stems_if_the_browser_can(
    browser: Browser, tmp_path: Path, song: Path, model_settings: Settings
) -> None:
    environ = {"SPLEETER_PREVIEWS": "off"}
    with running(tmp_path, model_settings.models_dir, environ=environ) as service:
        odd, done = (service.wait_for(service.submit(song, codec=codec)["id"]) for codec in ("alac", "flac"))
        await browser.open("about:blank")
        await browser.open(f"{service.url}/#song={odd['id']}&key={KEY}")
        await browser.until("document.querySelector('#play')?.disabled === false")
        await browser.click("#play")
        await browser.shows("#problem", "This browser cannot play stems of this format")
        assert await browser.run("return document.querySelector('.transport [role=status]').innerText") == ""
        assert done["preview"] is None
        await browser.open("about:blank")
        await browser.open(f"{service.url}/#song={done['id']}&mix=vocals.m&key={KEY}")
        await browser.until("document.querySelector('#play')?.disabled === false")
        assert await browser.run("return document.querySelector('#full')") is None
        await browser.click("#play")
        await browser.until("stems.engine.value?.place > 0.3")
        await browser.until("stems.engine.value.level('accompaniment') > 0.001")
        assert await browser.run("return stems.engine.value.level('vocals')") == 0
        await browser.run("stems.engine.value.seek(19)")
        await browser.until("stems.engine.value.place > 20.2")  # in the third segment
        await browser.click("#play")
        await browser.until("!stems.engine.value.playing")


async def test_the_example_plays_by_itself(page: Browser) -> None:
    await page.shows("#example", "Hear an example")
    await page.click("#example")
    await page.until("stems.engine.value?.playing && stems.engine.value.level() > 0.001")
    await page.shows("#song-title", "example.mp3")


async def test_firefox_sends_a_song_and_plays_its_stems(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "Fox.wav"
    soundfile.write(path, noise(12 * RATE, seed=5), RATE, subtype="PCM_16")
    with media_keys.bus() as bus:
        async with firefox.running(DBUS_SESSION_BUS_ADDRESS=bus) as page:
            await page.open(f"{service.url}/#key={KEY}")
            await page.until("document.querySelector('#file')?.disabled === false")
            await page.choose("#file", path)
            await page.until(row_of(path))
            await page.run(f"{row_of(path)}.click()")
            await page.until("document.querySelector('#play')?.disabled === false")
            await page.until(f"{row_of(path)}.closest('.row').dataset.state === 'succeeded'")
            await page.run("document.querySelector('#play').click()")
            await page.until("stems.engine.value?.place > 0.3 && stems.engine.value.level() > 0.001")
            await page.run("stems.engine.value.seek(9.5)")
            await page.until("stems.engine.value.place > 10.2")  # in the second segment
            await page.until("stems.engine.value.level('accompaniment') > 0.001")
            await page.run("document.querySelector('[aria-label=\"Mute Accompaniment\"]').click()")
            await page.until("stems.engine.value.level('accompaniment') === 0")
            await page.run("document.querySelector('[aria-label=\"Solo Accompaniment\"]').click()")
            await page.until("stems.engine.value.level('accompaniment') > 0.001")
            await page.until("stems.engine.value.level('vocals') < 1e-6")
            desktop = Desktop(bus)
            await eventually(desktop.has_player)  # as soon as Firefox hears something
            desktop.press("Pause")
            await page.until("!stems.engine.value.playing")


async def test_a_song_is_followed_through_a_restart_of_the_service(
    page: Browser, service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "Restart.wav"
    soundfile.write(path, noise(40 * RATE, seed=4), RATE, subtype="PCM_16")
    await page.type("#file", str(path))
    await page.until("document.querySelector('.row[data-state=running]')")
    await asyncio.to_thread(service.stop)
    await page.shows("#waits", "Connection lost. Your song is still being worked on; reconnecting")
    service.start()
    await page.until("!document.querySelector('#waits')")
    await page.until("document.querySelector('.row .pick').innerText.includes('Restart.wav')")
    await page.until("document.querySelector('.row').dataset.state === 'succeeded'")
