"""Measures the service through its HTTP API, beside what was aimed at.

One API process, one worker and one PostgreSQL, each a real process started for this. Sections can be
named: ``python -m bench.service start upload``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from statistics import median

from bench import listeners, load, upload
from bench.client import Client, Separation
from bench.clips import write_clip
from bench.fleet import WorkerRegistry
from bench.load import percentile
from bench.machine import machine
from bench.processes import memory, processor_seconds
from bench.tables import row
from spleeter_microservice.models.provide import find_model, open_store
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.sandbox.messages import InferenceModel, SeparationRequest
from spleeter_microservice.settings import Settings

_JOBS = 30
_CLIP_SECONDS = 30.0
_RATE, _LOAD_SECONDS = 200.0, 15.0
_LONG_SONG_SECONDS = 600.0
_UPLOAD_BYTES = 2_000_000_000
_LISTENERS = 1000
_AHEAD_SECONDS = 240.0
_PATIENCE = 300.0
_MB = 1e6


class Bench:
    """What the sections share.

    Args:
        folder: for everything written.
        rounds: pairs of measurements that are compared.
    """

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder, self.rounds = folder, rounds
        self._seed = 0

    def clip(self, seconds: float) -> Path:
        """Give a clip like no other before."""
        self._seed += 1
        return write_clip(self.folder / f"clip{self._seed}.wav", seconds, self._seed)

    @asynccontextmanager
    async def service(self, **environment: str) -> AsyncIterator[tuple[WorkerRegistry, Client]]:
        """Give a running service that has separated something, and a client; empty in the end."""
        async with (
            WorkerRegistry(self.folder / "service", environment=environment) as fleet,
            fleet.client() as client,
        ):
            await self.separated(client, self.clip(2.0))
            yield fleet, client
            await client.delete_all()
            leftovers = await fleet.leftovers_in_the_end()
            if leftovers:
                raise RuntimeError(f"left over: {', '.join(leftovers)}")
        shutil.rmtree(fleet.folder)

    @staticmethod
    async def separated(client: Client, song: Path) -> Separation:
        """Have a song separated, and give what the API says of it then."""
        job = await client.submit(song)
        return await client.succeeded(job["id"], _PATIENCE)

    async def start(self) -> None:
        """Enqueue to start: from the job's row to its claim, a worker being idle."""
        waits = []
        async with self.service() as (_, client):
            for _ in range(_JOBS):
                job = await self.separated(client, self.clip(2.0))
                waits.append(_instant(job["started_at"]) - _instant(job["created_at"]))
        row("", "jobs", "p50 ms", "p95 ms", "most ms")
        figures = (percentile(waits, 0.5), percentile(waits, 0.95), max(waits))
        row("enqueue to start", str(_JOBS), *(f"{1000 * figure:.1f}" for figure in figures))
        row("aimed at", "", "≤ 100")

    async def clips(self) -> None:
        """A clip of 30 s, uploaded, separated and downloaded, beside the engine alone, both warm."""
        whole, alone = [], []
        async with self.service() as (_, client), self._slot() as (slot, model):
            await self._alone(slot, model, self.clip(_CLIP_SECONDS))
            for number in range(self.rounds):
                song = self.clip(_CLIP_SECONDS)
                if number % 2:
                    alone.append(await self._alone(slot, model, song))
                whole.append(await self._through_api(client, song))
                if not number % 2:
                    alone.append(await self._alone(slot, model, song))
        more = [a - b for a, b in zip(whole, alone, strict=True)]
        row("", "pairs", "median s", "least s", "most s")
        for name, seconds in (("through the API", whole), ("engine alone", alone), ("difference", more)):
            row(name, str(len(seconds)), *(f"{f(seconds):.3f}" for f in (median, min, max)))
        row("aimed at", "", "≤ 0.5 more")

    @staticmethod
    async def _through_api(client: Client, song: Path) -> float:
        start = time.perf_counter()
        job = await client.submit(song)
        done = await client.followed(job["id"], _PATIENCE)
        for stem in done["stems"]:
            await client.download(stem["url"])
        return time.perf_counter() - start

    @staticmethod
    async def _alone(slot: InferenceSlot, model: InferenceModel, song: Path) -> float:
        source = Path(shutil.copy(song, slot.work_folder))
        paths = {name: slot.work_folder / f"{name}.wav" for name in model.architecture.stems}
        start = time.perf_counter()
        await slot.separate(SeparationRequest(source, paths))
        return time.perf_counter() - start

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[tuple[InferenceSlot, InferenceModel]]:
        settings = Settings.from_environment(os.environ)
        installed = find_model("2stems", open_store(settings.models_dir, settings.models_url))
        model = InferenceModel(installed.folder, installed.architecture)
        work = self.folder / "slot"
        work.mkdir()
        async with InferenceSlot(model, work) as slot:
            yield slot, model

    async def status(self) -> None:
        """200 status calls a second on one API process, while a song is being separated and idle."""
        row("", "answered", "p50 ms", "p95 ms", "p99 ms", "API's CPU ms")
        async with self.service() as (fleet, client):
            job = await client.submit(self.clip(2.0))
            await self._under_load(fleet, "nothing runs", job)
            song = self.clip(_LONG_SONG_SECONDS)
            job = await client.submit(song)
            await client.running(job["id"], _PATIENCE)
            await self._under_load(fleet, "a separation runs", job)
            if (await client.get(job["id"]))["state"] != "running":
                raise RuntimeError("The separation had ended before the calls.")
        row("aimed at", f"{_RATE * _LOAD_SECONDS:.0f}", "", "", "≤ 50")

    @staticmethod
    async def _under_load(fleet: WorkerRegistry, name: str, job: Separation) -> None:
        pid = fleet.api.pid
        assert pid is not None
        before = processor_seconds(pid)
        found = await load.run(fleet.port, job["url"], fleet.key, _RATE, _LOAD_SECONDS)
        each = 1000 * (processor_seconds(pid) - before) / max(1, len(found.latencies))
        if found.unanswered or set(found.statuses) != {"200"}:
            row(f"({name})", f"{found.statuses}, {found.unanswered} without an answer")
        figures = (found.percentile(share) for share in (0.5, 0.95, 0.99))
        row(name, str(len(found.latencies)), *(f"{1000 * f:.1f}" for f in figures), f"{each:.2f}")

    async def upload(self) -> None:
        """A WAV file of 2 GB uploaded, stored and deleted: how much the API's memory grows."""
        song = upload.write_silence(self.folder / "silence.wav", _UPLOAD_BYTES)
        limits = {"SPLEETER_MAX_FILE_SIZE_MB": "4000", "SPLEETER_MAX_DURATION_S": "100000"}
        async with self.service(**limits) as (fleet, client):
            pid = fleet.api.pid
            assert pid is not None
            before, start = memory(pid), time.monotonic()
            sending = asyncio.create_task(upload.send(fleet.port, fleet.key, song))
            most = before
            while not sending.done():
                most = max(most, memory(pid))
                await asyncio.sleep(0.05)
            seconds = time.monotonic() - start
            status, body = await sending
            if status != 202:
                raise RuntimeError(f"{status}: {body.decode(errors='replace')}")
            await client.delete(json.loads(body)["id"])
        row("", "upload MB", "seconds", "before MB", "growth MB")
        figures = (_UPLOAD_BYTES / _MB, seconds, before / _MB, (most - before) / _MB)
        row("the API's memory", *(f"{figure:.1f}" for figure in figures))
        row("aimed at", "", "", "", "≤ 50")

    async def listeners(self) -> None:
        """1,000 listeners to the events of one separation: memory of each, and when each is told."""
        async with self.service() as (fleet, client):
            pid = fleet.api.pid
            assert pid is not None
            ahead = await client.submit(self.clip(_AHEAD_SECONDS))
            await client.running(ahead["id"], _PATIENCE)
            job = await client.submit(self.clip(_CLIP_SECONDS))
            before = memory(pid)
            async with listeners.listening(fleet.port, job["id"], fleet.key, _LISTENERS) as following:
                growth = memory(pid) - before
                await client.delete(ahead["id"])
                told = await following.told()
            done = await client.succeeded(job["id"], _PATIENCE)
        row("", "told", "p50 ms", "p99 ms", "last ms")
        for state, instant in (("running", done["started_at"]), ("succeeded", done["finished_at"])):
            delays = [1000 * (at - _instant(instant)) for at in told[state]]
            figures = (percentile(delays, 0.5), percentile(delays, 0.99), max(delays))
            row(state, f"{len(delays)} of {_LISTENERS}", *(f"{figure:.0f}" for figure in figures))
        print(f"memory of the API: {growth / _LISTENERS / 1000:.1f} kB for each listener")


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> None:
    """Run the sections named on the command line, or all."""
    sections: Mapping[str, Callable[[Bench], Awaitable[None]]] = {
        "start": Bench.start,
        "clips": Bench.clips,
        "status": Bench.status,
        "upload": Bench.upload,
        "listeners": Bench.listeners,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*sections, []], default=list(sections))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options.rounds)
        for name in options.sections:
            print(f"\n{name}: {sections[name].__doc__} Measured on {machine()}.", flush=True)
            asyncio.run(_run(sections[name], bench))


async def _run(section: Callable[[Bench], Awaitable[None]], bench: Bench) -> None:
    await section(bench)


if __name__ == "__main__":
    main()
