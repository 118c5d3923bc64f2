"""A worker in its own process, with a fake separation: ``URL FOLDER SECONDS OPTIONS``.

Each attempt appends a line to the file ``attempts`` in the directory, and writes a file under the
job's prefix. The metadata ``deed: kill`` kills the process in the middle.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.job import Job, Result, StoredStem
from spleeter_microservice.worker.attempt import AttemptTimings
from spleeter_microservice.worker.worker import Worker, WorkerOptions


class SlowCopy:
    """A fake separation that writes a file, in ten steps; its content depends on the job only."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.step = seconds / 10

    async def __call__(self, job: Job, report_progress: Callable[[float], None]) -> Result:
        """Write the file and report progress."""
        with (self.folder / "attempts").open("a") as log:
            log.write(f"{os.getpid()} {job.id}\n")
        stem = self.folder / job.prefix / "vocals"
        stem.parent.mkdir(parents=True, exist_ok=True)
        for step in range(10):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), self.step)
            if step == 5 and job.options.metadata.get("deed") == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            stem.write_text(str(job.id))
            report_progress((step + 1) / 10)
        digest = hashlib.sha256(stem.read_bytes()).hexdigest()
        return Result((StoredStem("vocals", f"{job.prefix}/vocals", stem.stat().st_size, digest),))

    async def erase(self, prefix: str) -> None:
        """Erase a job's files."""
        shutil.rmtree(self.folder / prefix, ignore_errors=True)


async def main(url: str, folder: Path, seconds: float, values: dict[str, float]) -> None:
    """Work until SIGTERM."""
    work = SlowCopy(folder, seconds)
    pace = AttemptTimings(**values.pop("pace", {}))  # type: ignore[arg-type]
    options = WorkerOptions(**values, timings=pace)  # type: ignore[arg-type]
    async with Database(url, timeout=5.0) as database:
        await Worker(database, work, work.erase, options).run_until_signalled()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), json.loads(sys.argv[4])))
