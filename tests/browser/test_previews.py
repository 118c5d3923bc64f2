"""Browsers decode the segments of a preview to exactly their lengths."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from spleeter_microservice.audio.ogg_opus import RATE
from tests.support.audio_files import noise
from tests.support.chromium import Browser
from tests.support.previews import written

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

_DECODED = """
const decode = async text => (await new OfflineAudioContext(2, 1, 48000).decodeAudioData(
    Uint8Array.from(atob(text), character => character.charCodeAt(0)).buffer)).getChannelData(0);
return Promise.all([...arguments].map(decode)).then(([whole, ...parts]) => {
    const joined = parts.flatMap(part => Array.from(part));
    const furthest = joined.reduce((most, value, k) => Math.max(most, Math.abs(value - whole[k])), 0);
    return [whole.length, parts.map(part => part.length), furthest];
});
"""


async def test_a_browser_decodes_segments_exactly(browser: Browser, address: str, tmp_path: Path) -> None:
    await browser.open(address)
    whole, segments = written(noise(11 * 44100), 44100, tmp_path)
    files = [base64.b64encode(data).decode() for data in (whole, *segments)]
    length, lengths, difference = await browser.run(_DECODED, *files)
    assert (length, lengths) == (11 * RATE, [10 * RATE, RATE])
    assert difference < 1e-3
