"""The page of a running service in headless Chromium: its first load, its response to clicks, its player.

``python -m bench.page http://127.0.0.1:8000/#key=…``, the address that ``make serve`` prints. The player
plays ten minutes of five stems, each segment of which is the same noise; no song is uploaded.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import tempfile
from pathlib import Path

import httpx

from bench.processes import children, memory
from tests.support import chromium
from tests.support.audio_files import RATE, noise
from tests.support.chromium import Browser
from tests.support.previews import written

_LOAD = """
const [page] = performance.getEntriesByType('navigation');
const files = performance.getEntriesByType('resource').filter(one => one.name.includes('/assets/'));
const paint = performance.getEntriesByName('first-contentful-paint')[0];
return [
    [page, ...files].reduce((sum, one) => sum + one.encodedBodySize, 0) / 1000,
    paint.startTime, page.loadEventEnd,
];
"""
_RESPONSE = """
window.slowest = 0;
new PerformanceObserver(list => {
    for (const event of list.getEntries()) slowest = Math.max(slowest, event.duration);
}).observe({ type: 'event', durationThreshold: 16, buffered: true });
"""
_PLAY = """
const [text, done] = arguments;
const segment = Uint8Array.from(atob(text), character => character.charCodeAt(0)).buffer;
const song = { duration: 600, segmentSeconds: 10 };
const { segments, rate } = stems.encoded(['a', 'b', 'c', 'd', 'e'], 10, async () => segment.slice(0));
segments.want([0], () => {  // as the page does before the click
    const began = performance.now();
    window.player = new stems.Engine(song, segments, rate, Infinity, () => {});
    player.play();
    const look = () => player.level() > 0.001 ? done(performance.now() - began) : setTimeout(look, 1);
    look();
});
"""
_FRAMES = """
const done = arguments[0], began = performance.now();
let frames = 0;
const look = () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) player.level(name);
    frames += 1;
    const elapsed = performance.now() - began;
    elapsed < 5000 ? requestAnimationFrame(look) : done(1000 * frames / elapsed);
};
look();
"""


def _show(what: str, value: float, unit: str) -> None:
    print(f"{what:<44}{value:>8.0f} {unit}")


async def main(address: str) -> None:
    """Print the measurements."""
    with tempfile.TemporaryDirectory() as folder, chromium.running() as session:
        _, (segment, *_) = written(noise(10 * RATE), RATE, Path(folder))
        async with httpx.AsyncClient(base_url=session, timeout=60) as client:
            page = Browser(client)
            await page.look(1440)
            await page.open(address)
            await page.shows("[data-count='2']", "Vocals")
            await page.until("performance.getEntriesByName('first-contentful-paint').length")
            size, paint, load = await page.run(_LOAD)
            _show("first load, compressed", size, "kB")
            _show("first paint of content", paint, "ms")
            _show("loaded", load, "ms")
            await page.run(_RESPONSE)
            for _ in range(5):
                await page.click("input[value=karaoke]")
                await page.click("input[name=preset][value='']")
            _show("longest from a click to the next frame", await page.run("return slowest"), "ms")
            before = _memory()
            sound = await page.run_async(_PLAY, base64.b64encode(segment).decode())
            _show("from play to sound, 10 minutes, 5 stems", sound, "ms")
            _show("frames a second while it plays", await page.run_async(_FRAMES), "")
            most = 0.0
            for place in range(0, 600, 20):
                await page.run(f"player.seek({place})")
                await page.until("player.level() > 0.001")
                most = max(most, _memory() - before)
            _show("most memory while it is sought 30 times", most, "MB more")


def _memory() -> float:
    """Return the memory of the browser's processes in megabytes."""
    found, waiting = 0, [os.getpid()]
    while waiting:
        for child in children(waiting.pop()):
            found += memory(child.pid)
            waiting.append(child.pid)
    return found / 1e6


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
