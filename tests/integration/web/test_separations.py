"""Separations over HTTP: submitted, looked at, listed, deleted."""

from __future__ import annotations

import httpx
import pytest

from tests.web_service import Player, song

pytestmark = pytest.mark.asyncio


async def test_a_song_is_submitted_separated_and_deleted(ann: httpx.AsyncClient, player: Player) -> None:
    answer = await ann.post("/v1/separations", files={"file": ("song.wav", song())})
    assert answer.status_code == 202, answer.text
    path = answer.headers["location"]
    assert answer.json()["state"] == "queued"
    await player.separate()
    seen = (await ann.get(path)).json()
    assert (seen["state"], [stem["name"] for stem in seen["stems"]]) == (
        "succeeded",
        ["vocals", "accompaniment"],
    )
    assert (await ann.delete(path)).status_code == 204
    assert (await ann.get(path)).status_code == 404
