"""Measure the service through its HTTP API, beside the targets.

Each section starts one API process, one worker and one PostgreSQL. Name the sections to run only those:
``python -m bench.service start upload``.
"""

from __future__ import annotations

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

from bench import listeners, load, options, upload
from bench.client import Client, Separation
from bench.clips import write_clip
from bench.fleet import Fleet
from bench.load import percentile
from bench.machine import machine
from bench.processes import memory, processor_seconds
from bench.tables import row
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
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
_TIMEOUT = 300.0
_MB = 1e6


class Bench:
    """The state that the sections share.

    Args:
        folder: the folder for everything that is written.
        rounds: number of pairs of measurements to compare.
        jobs: number of jobs whose start is timed.
    """

    def __init__(self, folder: Path, rounds: int, jobs: int = _JOBS) -> None:
        self.folder, self.rounds, self.jobs = folder, rounds, jobs
        self._seed = 0

    def clip(self, seconds: float) -> Path:
        """Return a new clip, different from all before it."""
        self._seed += 1
        return write_clip(self.folder / f"clip{self._seed}.wav", seconds, self._seed)

    @asynccontextmanager
    async def service(self, **environment: str) -> AsyncIterator[tuple[Fleet, Client]]:
        """Yield a service that has separated a first clip, and a client; raise if files are left over."""
        async with (
            Fleet(self.folder / "service", environment=environment) as fleet,
            fleet.client() as client,
        ):
            await self.separated(client, self.clip(2.0))
            yield fleet, client
            await client.delete_all()
            leftovers = await fleet.leftovers_in_the_end()
            if leftovers:
                raise RuntimeError(f"Files were left over: {', '.join(leftovers)}")
        shutil.rmtree(fleet.folder)

    @staticmethod
    async def separated(client: Client, song: Path) -> Separation:
        """Submit a song, wait for it, and return the separation."""
        job = await client.submit(song)
        return await client.succeeded(job["id"], _TIMEOUT)

    async def start(self) -> None:
        """From the insertion of a job to its claim by an idle worker."""
        waits = []
        async with self.service() as (_, client):
            for _ in range(self.jobs):
                job = await self.separated(client, self.clip(2.0))
                waits.append(_instant(job["started_at"]) - _instant(job["created_at"]))
        row("", "jobs", "p50 ms", "p95 ms", "max ms")
        figures = (percentile(waits, 0.5), percentile(waits, 0.95), max(waits))
        row("enqueue to start", str(self.jobs), *(f"{1000 * figure:.1f}" for figure in figures))
        row("target", "", "≤ 100")

    async def clips(self) -> None:
        """A clip of 30 s, uploaded, separated and downloaded, beside inference alone, both warm."""
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
        row("", "pairs", "median s", "min s", "max s")
        for name, seconds in (("through the API", whole), ("inference alone", alone), ("difference", more)):
            row(name, str(len(seconds)), *(f"{f(seconds):.3f}" for f in (median, min, max)))
        row("target", "", "≤ 0.5 more")

    @staticmethod
    async def _through_api(client: Client, song: Path) -> float:
        start = time.perf_counter()
        job = await client.submit(song)
        done = await client.followed(job["id"], _TIMEOUT)
        for stem in done["stems"]:
            await client.download(stem["url"])
        return time.perf_counter() - start

    @staticmethod
    async def _alone(slot: InferenceSlot, model: InferenceModel, song: Path) -> float:
        source = Path(shutil.copy(song, slot.work_folder))
        paths = {name: slot.work_folder / f"{name}.wav" for name in model.files.stems}
        start = time.perf_counter()
        await slot.separate(SeparationRequest(source, paths))
        return time.perf_counter() - start

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[tuple[InferenceSlot, InferenceModel]]:
        settings = Settings.from_environment(os.environ)
        installed = find_model("2stems", ModelStore(settings.models_dir, mirror=settings.models_url))
        model = InferenceModel(installed.files)
        work = self.folder / "slot"
        work.mkdir()
        async with InferenceSlot(model, work) as slot:
            yield slot, model

    async def status(self) -> None:
        """200 status calls per second on one API process, idle and during a separation."""
        row("", "answered", "p50 ms", "p95 ms", "p99 ms", "API's CPU ms")
        async with self.service() as (fleet, client):
            job = await client.submit(self.clip(2.0))
            await self._under_load(fleet, "idle", job)
            song = self.clip(_LONG_SONG_SECONDS)
            job = await client.submit(song)
            await client.running(job["id"], _TIMEOUT)
            await self._under_load(fleet, "during a separation", job)
            if (await client.get(job["id"]))["state"] != "running":
                raise RuntimeError("The separation ended before the calls did.")
        row("target", f"{_RATE * _LOAD_SECONDS:.0f}", "", "", "≤ 50")

    @staticmethod
    async def _under_load(fleet: Fleet, name: str, job: Separation) -> None:
        pid = fleet.api.pid
        assert pid is not None
        before = processor_seconds(pid)
        found = await load.run(fleet.port, job["url"], fleet.key, _RATE, _LOAD_SECONDS)
        each = 1000 * (processor_seconds(pid) - before) / max(1, len(found.latencies))
        if found.unanswered or set(found.statuses) != {"200"}:
            row(f"({name})", f"{found.statuses}, {found.unanswered} unanswered")
        figures = (found.percentile(share) for share in (0.5, 0.95, 0.99))
        row(name, str(len(found.latencies)), *(f"{1000 * f:.1f}" for f in figures), f"{each:.2f}")

    async def upload(self) -> None:
        """Growth of the API's memory while a WAV file of 2 GB is uploaded and stored."""
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
        row("memory of the API", *(f"{figure:.1f}" for figure in figures))
        row("target", "", "", "", "≤ 50")

    async def listeners(self) -> None:
        """1,000 listeners to the events of one separation: memory of each, and delay of each event."""
        async with self.service() as (fleet, client):
            pid = fleet.api.pid
            assert pid is not None
            ahead = await client.submit(self.clip(_AHEAD_SECONDS))
            await client.running(ahead["id"], _TIMEOUT)
            job = await client.submit(self.clip(_CLIP_SECONDS))
            before = memory(pid)
            async with listeners.listening(fleet.port, job["id"], fleet.key, _LISTENERS) as following:
                growth = memory(pid) - before
                await client.delete(ahead["id"])
                arrivals = await following.arrivals()
            done = await client.succeeded(job["id"], _TIMEOUT)
        row("", "received", "p50 ms", "p99 ms", "last ms")
        for state, instant in (("running", done["started_at"]), ("succeeded", done["finished_at"])):
            delays = [1000 * (at - _instant(instant)) for at in arrivals[state]]
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
    chosen = options.parser(__doc__, sections, rounds=7).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), chosen.rounds, jobs=1 if chosen.quick else _JOBS)
        for name in chosen.sections or (["start"] if chosen.quick else sections):
            print(f"\n{name}: {sections[name].__doc__} Measured on {machine()}.", flush=True)
            asyncio.run(_run(sections[name], bench))


async def _run(section: Callable[[Bench], Awaitable[None]], bench: Bench) -> None:
    await section(bench)


if __name__ == "__main__":
    main()
