"""Browsers decode stems of other formats than WAV piece by piece, to the sample."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from spleeter_microservice.audio.codecs import CODECS
from spleeter_microservice.audio.output_format import OutputFormat
from spleeter_microservice.audio.writer import AudioWriter
from tests.support.audio_files import distance, lag, noise, read
from tests.support.chromium import Browser

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

RATE = 48_000  # which all codecs have
SONG = noise(RATE + 12_345)

_DECODED = """
const [text, media_type, done] = arguments;
const file = Uint8Array.from(atob(text), character => character.charCodeAt(0));
window.fetch = async (url, { headers }) => {
    const [from, to] = headers.get('Range').match(/[0-9]+/g).map(Number);
    return new Response(file.slice(from, to + 1));
};
(async () => {
    const stem = { name: 'vocals', url: 'vocals', size: file.length, media_type };
    const found = await stems.fullStems([stem], 0.5);
    if (!found) return null;
    const parts = [];
    for (const segment of [2, 0, 1]) {
        await new Promise(loaded => found.segments.want([segment], loaded));
        parts[segment] = found.segments.ready(segment)[0].getChannelData(0);
    }
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    return [found.rate, btoa(bytes.reduce((all, byte) => all + String.fromCharCode(byte), ''))];
})().then(done, error => done(String(error)));
"""


async def test_segments_of_every_format_join_and_lie_where_they_are_in_the_song(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    await browser.open(address)
    await browser.until("Boolean(window.stems)")
    unplayed = []
    for codec in sorted(CODECS.keys() - {"stem.mp4"}):
        path = tmp_path / f"vocals.{codec}"
        with AudioWriter(path, OutputFormat(codec), sample_rate=RATE) as writer:
            writer.write(SONG)
            writer.commit()
        text = base64.b64encode(path.read_bytes()).decode()
        answer = await browser.run_async(_DECODED, text, CODECS[codec].media_type)
        if answer is None:
            unplayed.append(codec)
            continue
        rate, samples = answer
        decoded = np.frombuffer(base64.b64decode(samples), "<f4")
        found, left = decoded[: len(SONG), None], SONG[:, :1]
        assert rate == RATE
        assert not codec.startswith(("wav", "flac")) or np.array_equal(
            found, read(path, sample_rate=RATE)[:, :1]
        )
        for place in (0, RATE // 2 - 4000, RATE - 4000, len(SONG) - 8000):  # both ends and all borders
            there = slice(place, place + 8000)
            assert (codec, lag(left[there], found[there])) == (codec, 0)
            assert distance(left[there], found[there]) < -6, codec
    assert unplayed == ["aiff", "alac", "wma"]
