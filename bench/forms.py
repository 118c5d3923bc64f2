"""Send damaged multipart forms to the service, and report what it answers and leaves behind.

Each form is a song with some options, damaged in one of eight ways; a seed decides how. Some clients also
disconnect before the end. Afterwards, every separation must end, and nothing may remain in the spool.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from bench.client import FINAL
from bench.clips import write_clip
from bench.fleet import Fleet
from bench.machine import machine
from tests.support.damaged_forms import Form, damaged_forms

_AT_A_TIME = 4
_WITHIN = 300.0  # seconds for all separations to end
_DISCONNECTING = 10  # every tenth client


async def _send(client: httpx.AsyncClient, number: int, form: Form) -> str:
    """Send a form, and return the status and the problem type of the response."""
    _, content_type, body = form
    headers = {"Content-Type": content_type}
    if number % _DISCONNECTING == 0:
        try:
            await client.post("/v1/separations", content=body, headers=headers, timeout=0.01)
        except httpx.TimeoutException:
            return "disconnected"
    answer = await client.post("/v1/separations", content=body, headers=headers)
    return f"{answer.status_code} {answer.json().get('type', answer.json().get('state'))}"


async def _ended(fleet: Fleet) -> Counter[str]:
    """Wait until all separations have ended, and count their states."""
    deadline = time.monotonic() + _WITHIN
    async with fleet.client() as client:
        while True:
            states = Counter(str(job["state"]) for job in await client.all())
            if set(states) <= FINAL or time.monotonic() > deadline:
                return states
            await asyncio.sleep(0.2)


async def measure(folder: Path, count: int, seed: int) -> bool:
    """Send the forms, print what happened, and return whether nothing is wrong."""
    song = write_clip(folder / "song.wav", 0.5, seed).read_bytes()
    turns = asyncio.Semaphore(_AT_A_TIME)
    async with Fleet(folder / "fleet") as fleet:
        before = len(fleet.family())
        headers = {"X-API-KEY": fleet.key}
        async with httpx.AsyncClient(base_url=fleet.url, headers=headers, timeout=60) as client:

            async def send(number: int, form: Form) -> tuple[str, str]:
                async with turns:
                    return form[0], await _send(client, number, form)

            forms = list(damaged_forms(song, count, seed))
            answers = Counter(await asyncio.gather(*(send(*item) for item in enumerate(forms, 1))))
        states = await _ended(fleet)
        spool = [path.name for path in (fleet.data / "spool").iterdir()]
        starts, after = [program.starts for program in fleet.programs], len(fleet.family())
    for (damage, answer), times in sorted(answers.items()):
        print(f"{damage:12} {answer:40} {times:4}")
    print(f"states {dict(states)}, in the spool {spool}, starts {starts}, processes {before} then {after}")
    errors = [answer for _, answer in answers if answer.startswith("5")]
    return not errors and not spool and set(states) <= FINAL and set(starts) == {1}


def main() -> int:
    """Run the command; return 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forms", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(measure(Path(folder), arguments.forms, arguments.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
