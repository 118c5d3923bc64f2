"""Attack the service in many ways, while an innocent tenant uploads songs and receives stems.

The attacks run in processes of the lowest priority (``nice -n 19``), because who attacks has a machine of
their own. The tenant uploads at a fixed rate; its wait begins when an upload is due and ends when it is
accepted, after all repetitions. Every separation that was accepted must end well, with the same bytes as one
that was undisturbed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Self

import httpx
import pytest

from bench.attacks import ATTACKS, Tally, Target
from bench.client import FINAL, Client, Separation
from bench.clips import write_clip
from bench.fleet import Fleet
from bench.load import percentile
from bench.machine import load, machine
from bench.tables import row
from spleeter_microservice.access.key_table import KeyTable
from spleeter_microservice.access.keys import ApiKeys
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import UnknownJobError
from spleeter_microservice.jobs.job import State
from spleeter_microservice.jobs.repository import JobRepository
from tests.support import clamd
from tests.support.service import mentioning
from tests.support.small_disk import small_disk
from tests.support.webhooks import SECRET

_GOAL = 2.0  # seconds that 99 of 100 uploads may wait
_RATE = 3.0  # uploads per second
_NEW = 3  # every third upload is separated; the stems of the others exist
_CLIP_SECONDS = 0.5
_DESCRIPTORS = 1024  # of each process of the service
_LATE = 300.0  # seconds that an attack may take beyond its time, since some wait for timeouts of the service
_SETTLED = 120.0  # seconds that a separation may take, on a machine that has other work
_DISK_MEGABYTES = 600
_ROOT = Path(__file__).parent.parent
_STOP_SCANNER, _ONLY_GUNICORN = "stop-scanner", "kill-gunicorn"
_APART = {"full-disk", _STOP_SCANNER}
"""Attacks on services of their own."""
_OUTAGES = {*_APART, _ONLY_GUNICORN}
"""Attacks during which nobody can upload, so that waits do not count."""


class Innocent:
    """A tenant that uploads at a fixed rate, whatever the responses, and checks what it gets.

    Args:
        url: address of the API.
        key: its API key.
        folder: the folder for its songs.

    Attributes:
        waits: seconds until each upload was accepted.
    """

    def __init__(self, url: str, key: str, folder: Path) -> None:
        self._url, self._key, self._folder = url, key, folder
        self._client = Client(url, key)
        self._song = write_clip(folder / "song.wav", _CLIP_SECONDS, 1).read_bytes()
        self._number = 0
        self._stems: dict[str, str] = {}
        self._accepted: set[str] = set()
        self._refusals: list[str] = []
        self.waits: list[float] = []

    async def __aenter__(self) -> Self:
        """Separate the song before any attack, to compare later stems with."""
        await self._client.__aenter__()
        job = await self._client.submit(self._write_song(0))
        self._stems = await self._digests(await self._client.succeeded(job["id"], _SETTLED))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.delete_all()
        await self._client.__aexit__()

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[None]:
        """Upload until the context ends, and wait until all is accepted."""
        self.waits, self._refusals, ended = [], [], asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._upload_regularly(group, ended))
            try:
                yield
            finally:
                ended.set()

    async def _upload_regularly(self, group: asyncio.TaskGroup, ended: asyncio.Event) -> None:
        due = time.monotonic()
        while not ended.is_set():
            group.create_task(self._upload(due))
            due += 1 / _RATE
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), due - time.monotonic())

    async def _upload(self, due: float) -> None:
        self._number += 1
        song = self._write_song(0 if self._number % _NEW else self._number)
        try:
            async with Client(self._url, self._key, idle=0) as client:
                job = await client.submit(song, idempotency_key=f"upload {self._number}")
        except (RuntimeError, httpx.TransportError) as error:
            self._refusals.append(f"an upload was not accepted: {error!r}")
        else:
            self.waits.append(time.monotonic() - due)
            self._accepted.add(job["id"])

    def _write_song(self, number: int) -> Path:
        """Write the song with a number in a chunk that nobody reads; another number makes another song."""
        data = self._song + struct.pack("<4sII", b"note", 4, number)
        path = self._folder / f"song{number}.wav"
        path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
        return path

    async def faults(self) -> list[str]:
        """Wait until every separation has ended; return what was lost or is wrong, and erase it."""
        found, jobs = Counter(self._refusals), await self._ended()
        if len(jobs) != len(self._accepted):
            found[f"of {len(self._accepted)} separations that were accepted, {len(jobs)} exist"] += 1
        for job in jobs:
            if job["state"] != "succeeded":
                found[f"separation is {job['state']}: {job['error']}"] += 1
            elif await self._digests(job) != self._stems:
                found["separation has other stems than an undisturbed one"] += 1
            await self._client.delete(job["id"])
        self._accepted.clear()
        return [f"{times} × {fault}" for fault, times in found.items()]

    async def _ended(self) -> list[Separation]:
        """Return the separations once all have ended, or none has for a long time."""
        left, since = -1, 0.0
        while True:
            jobs = [job for job in await self._client.all() if job["id"] in self._accepted]
            before, left = left, sum(job["state"] not in FINAL for job in jobs)
            if left != before:
                since = time.monotonic()
            if not left or time.monotonic() - since > _SETTLED:
                return jobs
            await asyncio.sleep(0.5)

    async def _digests(self, job: Separation) -> dict[str, str]:
        stems = {stem["name"]: await self._client.download(stem["url"]) for stem in job["stems"]}
        return {name: hashlib.sha256(content).hexdigest() for name, content in stems.items()}


class Siege:
    """Attacks on a running service.

    Args:
        fleet: the service.
        seconds: seconds that each attack takes, unless it waits for a timeout of the service.
        aside: port for the attackers' own servers, which the service may call.
        scanner: PID of clamd, if the service uses it.
    """

    def __init__(self, fleet: Fleet, seconds: float, aside: int, scanner: int | None) -> None:
        self._fleet, self._seconds, self._aside, self._scanner = fleet, seconds, aside, scanner

    async def suffer(self, names: Sequence[str]) -> list[str]:
        """Carry out attacks, print a row for each, and return descriptions of what went wrong."""
        found = []
        async with Innocent(self._fleet.url, await self._key("innocent"), self._fleet.folder) as innocent:
            for name in names:
                tally = await self._attack(name, innocent)
                faults = [f"{times} × {end}" for end, times in tally.wrong.items()]
                await self._erase_jobs_of(name)
                await self._fleet.ready()
                faults += await innocent.faults()
                figures = [percentile(innocent.waits, share) for share in (0.5, 0.99, 1.0)]
                row(name, str(tally.tried), str(tally.held), *(f"{figure:.2f}" for figure in figures), load())
                print("    " + ", ".join(f"{times} × {end}" for end, times in sorted(tally.ends.items())))
                if figures[1] >= _GOAL and name not in _OUTAGES:
                    faults.append(f"an innocent tenant waited for {figures[1]:.2f} s (p99)")
                for fault in faults:
                    print(f"    NOT HELD: {fault}", flush=True)
                found += [f"{name}: {fault}" for fault in faults]
        found += [f"left over: {name}" for name in await self._fleet.leftovers_in_the_end()]
        exited = self._fleet.server == "serve" and self._fleet.api.starts > 1
        return found + ["the supervisor exited"] * exited

    async def _attack(self, name: str, innocent: Innocent) -> Tally:
        """Run an attack in its own process, while the innocent tenant uploads."""
        fleet, key = self._fleet, await self._key(name)
        target = Target(fleet.port, str(fleet.folder), key, self._aside, self._seconds, self._scanner)
        running = await asyncio.create_subprocess_exec(
            *("nice", "-n", "19", sys.executable, "-m", "bench.attacks", name),
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert running.stdin
        assert running.stdout
        try:
            running.stdin.write(json.dumps(asdict(target)).encode())
            running.stdin.close()
            await running.stdout.readline()
            async with innocent.uploading():
                shortest = asyncio.create_task(asyncio.sleep(self._seconds))
                async with asyncio.timeout(self._seconds + _LATE):
                    output = await running.stdout.read()
                    await running.wait()
                await shortest
            return Tally(**json.loads(output))
        except (TimeoutError, ValueError) as error:
            return Tally(1, wrong=Counter([f"the attack itself failed: {error!r}"]))
        finally:
            if running.returncode is None:
                running.kill()
            await running.wait()

    async def _key(self, tenant: str) -> str:
        async with Database(self._fleet.postgres.url) as database:
            return (await ApiKeys(KeyTable(database)).create(tenant))[0]

    async def _erase_jobs_of(self, tenant: str) -> None:
        async with Database(self._fleet.postgres.url) as database:
            repository = JobRepository(database)
            for state in (State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED):
                while jobs := (await repository.page(tenant, limit=100, states=[state])).jobs:
                    for job in jobs:
                        with contextlib.suppress(UnknownJobError):
                            await repository.delete(tenant, job.id)


async def besiege(
    server: str, names: Sequence[str], seconds: float, folder: Path, scanner: clamd.Daemon | None = None
) -> list[str]:
    """Start a service, attack it, and return descriptions of what went wrong.

    Args:
        server: ``serve`` or ``gunicorn``.
        names: the attacks.
        seconds: seconds that each may take.
        folder: the folder for everything that is written.
        scanner: clamd for all songs.
    """
    # Bound, but not listening, so that no other program gets the port between two attacks.
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    aside = reserved.getsockname()[1]
    settings = {
        "SPLEETER_MAX_QUEUED": "",  # the default, as of everything
        "SPLEETER_MAX_QUEUED_HOURS": "",
        "SPLEETER_REQUESTS_PER_MINUTE": "",
        "SPLEETER_API_PROCESSES": "2" if server == "gunicorn" else "",
        "SPLEETER_SOURCE_URLS": "on",
        "SPLEETER_INNER_TARGETS": f"127.0.0.1:{aside}",
        "SPLEETER_WEBHOOK_SECRET": SECRET,
        "SPLEETER_ANTIVIRUS": "required" if scanner else "",
        "SPLEETER_CLAMD_URL": scanner.unix if scanner else "",
    }
    fleet = Fleet(folder, environment=settings, server=server, descriptors=_DESCRIPTORS)
    with reserved:
        async with fleet, _keeping_database(fleet):
            found = await Siege(fleet, seconds, aside, scanner.pid if scanner else None).suffer(names)
    return found + [f"process {pid} outlived the service" for pid, _ in mentioning(fleet.folder)]


@asynccontextmanager
async def _keeping_database(fleet: Fleet) -> AsyncIterator[None]:
    """Start PostgreSQL again when it has ended, as a service manager would; ``serve`` does so itself."""

    async def keep() -> None:
        while fleet.server != "serve":
            if not fleet.postgres.lives():
                await fleet.start_database()
            await asyncio.sleep(0.5)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def _besiege_apart(server: str, name: str, seconds: float, folder: Path) -> list[str]:
    """Carry out an attack on a service of its own: on a small disk, or with a scanner."""
    folder.mkdir()
    try:
        if name == _STOP_SCANNER:
            with clamd.running() as scanner:
                return asyncio.run(besiege(server, [name], seconds, folder, scanner))
        with small_disk(folder / "data", _DISK_MEGABYTES, inodes=100_000) as disk:
            if disk.mounted:
                return asyncio.run(besiege(server, [name], seconds, folder))
            reason = "only root may mount a small disk"
    except pytest.fail.Exception as error:
        reason = str(error)
    print(f"{name} was not carried out: {reason}")
    return []


def main() -> int:
    """Carry out the attacks on the command line; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"{', '.join(ATTACKS)} (default: all)")
    parser.add_argument("--server", choices=("serve", "gunicorn"), default="serve")
    parser.add_argument(
        "--seconds", type=float, default=6.0, help="length of an attack (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="carry out two short attacks")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves nothing running, as Ctrl-C does
    names = options.attacks or [name for name in ATTACKS if name != _ONLY_GUNICORN]
    if not options.attacks and options.server == "gunicorn":
        names.append(_ONLY_GUNICORN)
    if options.quick:
        names, options.seconds = ["large-headers", "inner-addresses"], 0.5
    if unknown := {*names} - ATTACKS.keys():
        parser.error(f"unknown attacks: {', '.join(sorted(unknown))}")
    print(
        f"{options.server}, with {_DESCRIPTORS} descriptors for each process; attackers of the lowest "
        f"priority; {_RATE:g} uploads a second by an innocent tenant. Measured on {machine()}."
    )
    row("", "tried", "held", "p50 s", "p99 s", "max s", "load")
    with tempfile.TemporaryDirectory() as place:
        together = [name for name in names if name not in _APART]
        problems = []
        if together:
            problems += asyncio.run(besiege(options.server, together, options.seconds, Path(place, "all")))
        for name in sorted({*names} & _APART):
            problems += _besiege_apart(options.server, name, options.seconds, Path(place, name))
    for problem in problems or ["every attack was held, and nothing was lost or left over"]:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
