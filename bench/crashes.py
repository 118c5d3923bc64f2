"""Separate many clips while processes are killed, and compare with an undisturbed run of the same clips.

Every few seconds a worker or one of its children is killed with SIGKILL. The API is killed and PostgreSQL
is stopped immediately, each at a set share of the clips.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import FINAL, Client, Separation
from bench.clips import write_clip
from bench.fleet import Fleet
from bench.machine import machine
from bench.processes import Process, process
from bench.tables import row

_UPLOADS = _DOWNLOADS = 4  # at a time


@dataclass(frozen=True)
class Plan:
    """The work to do, and the failures to cause during it.

    Attributes:
        clips: number of clips to separate.
        seconds: length of the shortest and of the longest clip.
        workers: number of worker processes.
        interval: seconds between kills of a worker or of one of its children; longer while no clip is
            completed, as on a machine that starts workers slowly.
        kills: maximum number of such kills.
        api_kills: number of kills of the API, spread over the run.
        database_stops: number of stops of PostgreSQL, spread over the run.
        database_away: seconds until PostgreSQL is started again.
        within: seconds that each of the two runs may take.
        seed: seed of all random choices.
    """

    clips: int = 200
    seconds: tuple[float, float] = (2.0, 6.0)
    workers: int = 3
    interval: float = 2.0
    kills: int = 1_000_000
    api_kills: int = 3
    database_stops: int = 1
    database_away: float = 2.0
    within: float = 1800.0
    seed: int = 0


_QUICK = Plan(
    clips=3, seconds=(0.5, 1.0), workers=1, interval=0.2, kills=1, api_kills=0, database_stops=0, within=500
)


@dataclass
class Run:
    """The results of one run, by the name of the clip.

    Attributes:
        jobs: the separations in their final states.
        digests: SHA-256 of each downloaded stem, by the name of the stem.
        elapsed: duration in seconds.
        repeats: number of requests that had to be sent again.
    """

    jobs: dict[str, Separation] = field(default_factory=dict)
    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    elapsed: float = 0.0
    repeats: int = 0


@dataclass(frozen=True)
class Outcome:
    """The result of a plan.

    Attributes:
        plan: the plan that was carried out.
        undisturbed, disturbed: the two runs.
        kills: number of kills by kind of process.
        jobs: number of jobs after the disturbed run.
        leftovers: files that remained after everything had been deleted.
        survivors: processes that outlived the service.
    """

    plan: Plan
    undisturbed: Run
    disturbed: Run
    kills: Counter[str]
    jobs: int
    leftovers: Sequence[str]
    survivors: Sequence[int]

    @property
    def states(self) -> Counter[str]:
        """Number of jobs of the disturbed run by final state."""
        return Counter(job["state"] for job in self.disturbed.jobs.values())

    @property
    def different(self) -> list[str]:
        """Clips whose stems differ from those of the undisturbed run in any byte."""
        expected = self.undisturbed.digests
        return sorted(clip for clip in expected if self.disturbed.digests.get(clip) != expected[clip])

    @property
    def problems(self) -> list[str]:
        """Descriptions of everything that went wrong."""
        found = [f"{clip}: {job['state']} {job['error']}" for clip, job in self.disturbed.jobs.items()]
        found = [text for text in found if ": succeeded" not in text]
        found += [f"{clip}: other stems than in the undisturbed run" for clip in self.different]
        if self.jobs != self.plan.clips:
            found.append(f"{self.jobs} jobs of {self.plan.clips} clips")
        found += [f"left over: {name}" for name in self.leftovers]
        found += [f"process {pid} outlived the service" for pid in self.survivors]
        planned = {"api": self.plan.api_kills, "database": self.plan.database_stops}
        found += [
            f"{kind} killed {self.kills[kind]} times of {times}"
            for kind, times in planned.items()
            if self.kills[kind] < times
        ]
        if not self.kills["worker"] + self.kills["child"]:
            found.append("neither a worker nor a child was killed")
        return found


class Mayhem:
    """Kills of processes according to a plan, while clips are being separated.

    Args:
        fleet: the processes to kill.
        plan: the plan to carry out.
    """

    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        self._fleet, self._plan = fleet, plan
        self._random = random.Random(plan.seed)  # noqa: S311  (no secret)
        self.kills: Counter[str] = Counter()
        self.seen: set[Process] = set()
        self._due = sorted(
            [((n + 0.5) / plan.api_kills, "api") for n in range(plan.api_kills)]
            + [((n + 0.5) / plan.database_stops + 0.05, "database") for n in range(plan.database_stops)]
        )

    @asynccontextmanager
    async def at_work(self, run: Run) -> AsyncIterator[None]:
        """Kill processes until the context ends."""
        tasks = [asyncio.create_task(self._kill_workers(run)), asyncio.create_task(self._follow(run))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await self._fleet.start_database()

    async def _kill_workers(self, run: Run) -> None:
        done = -1
        while self.kills["worker"] + self.kills["child"] < self._plan.kills:
            await asyncio.sleep(self._plan.interval)
            while len(run.jobs) == done:
                await asyncio.sleep(0.05)
            done = len(run.jobs)
            workers = [found for one in self._fleet.workers if one.pid and (found := process(one.pid))]
            helpers = [helper for one in self._fleet.workers for helper in self._fleet.helpers(one)]
            self.seen |= {*self._fleet.family()}
            if workers:
                victim = self._random.choice(workers + helpers)
                self._kill(victim, "worker" if victim in workers else "child")

    def _kill(self, victim: Process, kind: str) -> None:
        if victim.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
                self.kills[kind] += 1

    async def _follow(self, run: Run) -> None:
        """Kill the API and stop the database when they are due."""
        while self._due:
            share, what = self._due[0]
            if len(run.digests) >= share * self._plan.clips:
                self._due.pop(0)
                await self._end(what)
            await asyncio.sleep(0.05)

    async def _end(self, what: str) -> None:
        self.seen |= {*self._fleet.family()}
        if what == "api":
            self._fleet.api.kill()
        else:
            self._fleet.stop_database()
            await asyncio.sleep(self._plan.database_away)
            await self._fleet.start_database()
        self.kills[what] += 1


async def follow(plan: Plan, folder: Path) -> Outcome:
    """Carry out a plan.

    Args:
        plan: the plan to carry out.
        folder: the folder to create for all files.

    Raises:
        TimeoutError: if clips are not done in time, because some are lost or stuck.
        RuntimeError: if a separation fails or a response is unexpected.
    """
    clips = _write_clips(plan, folder / "clips")
    fleet = Fleet(folder / "service", plan.workers)
    async with fleet, fleet.client() as client:
        undisturbed = await _separate_all(client, clips, plan.within)
        await client.delete_all()
        mayhem, disturbed = Mayhem(fleet, plan), Run()
        async with mayhem.at_work(disturbed):
            await _separate_all(client, clips, plan.within, disturbed)
        jobs = len(await client.all())
        await client.delete_all()
        mayhem.seen |= {*fleet.family()}
        leftovers = await fleet.leftovers_in_the_end()
    survivors = [one.pid for one in mayhem.seen if one.alive]
    return Outcome(plan, undisturbed, disturbed, mayhem.kills, jobs, leftovers, survivors)


def _write_clips(plan: Plan, folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    lengths = random.Random(plan.seed)  # noqa: S311  (no secret)
    return [
        write_clip(folder / f"clip{number:03}.wav", lengths.uniform(*plan.seconds), plan.seed + number)
        for number in range(plan.clips)
    ]


async def _separate_all(client: Client, clips: Sequence[Path], within: float, run: Run | None = None) -> Run:
    """Submit all clips, wait until they have ended, and download all stems."""
    run = run or Run()
    start, repeats = time.monotonic(), client.repeats
    ended: dict[str, asyncio.Future[Separation]] = {}
    uploads, downloads = asyncio.Semaphore(_UPLOADS), asyncio.Semaphore(_DOWNLOADS)

    async def separate(clip: Path) -> None:
        async with uploads:
            job = (await client.submit(clip, idempotency_key=f"{id(run)}-{clip.stem}"))["id"]
            ended[job] = asyncio.get_running_loop().create_future()
        run.jobs[clip.stem] = done = await ended[job]
        async with downloads:
            stems = {stem["name"]: await client.download(stem["url"]) for stem in done["stems"]}
        run.digests[clip.stem] = {
            name: hashlib.sha256(content).hexdigest() for name, content in stems.items()
        }

    async with asyncio.timeout(within), asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(client, ended))
        await asyncio.gather(*(group.create_task(separate(clip)) for clip in clips))
        watching.cancel()
    run.elapsed, run.repeats = time.monotonic() - start, client.repeats - repeats
    return run


async def _watch(client: Client, ended: dict[str, asyncio.Future[Separation]]) -> None:
    """Resolve the futures of separations that have ended."""
    while True:
        for job in await client.all():
            future = ended.get(job["id"])
            if future and not future.done() and job["state"] in FINAL:
                future.set_result(job)
        await asyncio.sleep(0.2)


def _print(outcome: Outcome) -> None:
    plan, runs = outcome.plan, (outcome.undisturbed, outcome.disturbed)
    row("", "undisturbed", "disturbed")
    row("wall s", *(f"{run.elapsed:.1f}" for run in runs))
    row("requests sent again", *(str(run.repeats) for run in runs))
    row("separations, succeeded", *(f"{_succeeded(run)} of {plan.clips}" for run in runs))
    print(f"killed: {', '.join(f'{count} × {what}' for what, count in sorted(outcome.kills.items()))}")
    killed = sum(outcome.kills[kind] for kind in ("worker", "child"))
    print(f"a worker or a child every {outcome.disturbed.elapsed / max(1, killed):.1f} s")
    for problem in outcome.problems or ["nothing lost, stuck, different or left over"]:
        print(problem)


def _succeeded(run: Run) -> int:
    return sum(job["state"] == "succeeded" for job in run.jobs.values())


def main() -> int:
    """Carry out the plan on the command line; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=Plan.clips)
    parser.add_argument("--workers", type=int, default=Plan.workers)
    parser.add_argument("--interval", type=float, default=Plan.interval, help="seconds between kills")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--quick", action="store_true", help="separate three clips and kill one process")
    options = parser.parse_args()
    print(f"Measured on {machine()}.", flush=True)
    plan = Plan(clips=options.clips, workers=options.workers, interval=options.interval, seed=options.seed)
    plan = _QUICK if options.quick else plan
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(follow(plan, Path(folder) / "run"))
    _print(outcome)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
