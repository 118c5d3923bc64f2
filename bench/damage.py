"""Send damaged files and damaged multipart forms to the service.

Each is refused or becomes a job that ends, and no file and no process stays behind.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from bench import forms, mutations
from bench.fleet import Fleet
from bench.machine import machine
from spleeter_microservice.sandbox.prober import ProbeLimits


async def follow(files: int, multiparts: int, seed: int, folder: Path, within: float) -> list[str]:
    """Send everything, print what became of it, and return descriptions of everything that went wrong.

    Args:
        files: number of files.
        multiparts: number of forms.
        seed: seed of the damage.
        folder: the folder for all files.
        within: seconds that each of the two may take.
    """
    problems: list[str] = []
    async with (fleet := Fleet(folder / "service")), fleet.client() as client:
        before = {*fleet.family()}
        for name, kind, count in (("files", mutations, files), ("forms", forms, multiparts)):
            start = time.monotonic()
            async with asyncio.timeout(within):
                fates, found = await kind.send(fleet, count, seed, folder)
                await client.delete_all()
            print(f"{count} {name} in {time.monotonic() - start:.0f} s", flush=True)
            for fate, times in sorted(fates.items()):
                print(f"{times:5} × {fate}", flush=True)
            problems += found
        problems += [f"left over: {name}" for name in await fleet.leftovers_in_the_end()]
        problems += [f"{program.name} started again" for program in fleet.programs if program.starts > 1]
        inspectors = {*fleet.helpers(fleet.api)}
        started = {*fleet.family()} - before
        problems += [f"process {one.pid} is unexpected" for one in started - inspectors]
        if len(inspectors) > ProbeLimits().processes:
            problems.append(f"{len(inspectors)} processes inspect uploads")
        print(f"{len(before)} processes, later {len(started)} more; {len(inspectors)} inspect uploads")
    return problems + [f"process {one.pid} outlived the service" for one in before | started if one.alive]


def main() -> int:
    """Carry out the run on the command line; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--forms", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--within", type=float, default=1800.0, help="seconds that the files may take")
    parser.add_argument("--quick", action="store_true", help="send three files and three forms")
    options = parser.parse_args()
    if options.quick:
        options.files = options.forms = 3
    print(f"Measured on {machine()}.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        problems = asyncio.run(
            follow(options.files, options.forms, options.seed, Path(folder), options.within)
        )
    for problem in problems or ["no fault, nothing stuck or left over"]:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
