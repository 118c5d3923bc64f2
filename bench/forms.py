"""Damaged multipart forms for the service: songs with some options, damaged in one of eight ways.

Some clients also disconnect before the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx

from bench.clips import write_clip
from bench.fleet import Fleet
from tests.support.damaged_forms import Form, damaged_forms

_AT_A_TIME = 4
_DISCONNECTING = 10  # every tenth client


async def _send(client: httpx.AsyncClient, number: int, form: Form) -> str:
    """Send a form, and return the damage, and the status and the problem type of the response."""
    damage, content_type, body = form
    headers = {"Content-Type": content_type}
    if number % _DISCONNECTING == 0:
        try:
            await client.post("/v1/separations", content=body, headers=headers, timeout=0.01)
        except httpx.TimeoutException:
            return f"{damage} disconnected"
    answer = await client.post("/v1/separations", content=body, headers=headers)
    return f"{damage} {answer.status_code} {answer.json().get('type', answer.json().get('state'))}"


async def send(fleet: Fleet, count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Send the forms and wait until all jobs have ended; see ``mutations.send``."""
    song = write_clip(folder / "song.wav", 0.5, seed).read_bytes()
    turns = asyncio.Semaphore(_AT_A_TIME)
    headers = {"X-API-KEY": fleet.key}
    async with httpx.AsyncClient(base_url=fleet.url, headers=headers, timeout=60) as http:

        async def one(number: int, form: Form) -> str:
            async with turns:
                return await _send(http, number, form)

        forms = enumerate(damaged_forms(song, count, seed), 1)
        answers = Counter(await asyncio.gather(*(one(*item) for item in forms)))
    async with fleet.client() as client:
        jobs = await client.all_ended()
    answers.update(f"job {job['state']} {(job['error'] or {}).get('type', '')}".strip() for job in jobs)
    return answers, [f"form: {answer}" for answer in answers if answer.split()[1].startswith("5")]
