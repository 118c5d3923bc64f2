"""Keeps processes running until it is told to stop, and then stops them in good order.

Each process gets the reading end of a pipe, its lifeline, whose writing end this process holds:
when this one dies, however it does, the others notice and stop (``lifeline.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from spleeter_microservice.observability.metrics import WORKER_RESTARTS, forget_process
from spleeter_microservice.processes.zombie_reaper import Orphans

logger = logging.getLogger(__name__)

Upkeep = Callable[[], Awaitable[None]]
Mourn = Callable[[int], Awaitable[None]]

_POLL_SECONDS = 0.05
_STEADY_SECONDS = 30.0  # who lived so long starts anew without delay


@dataclass(frozen=True)
class Program:
    """A command of this program to keep running.

    Attributes:
        name: for logs and metrics.
        arguments: of ``spleeter-microservice``.
        environ: its whole environment.
        descriptors: that it inherits, besides its lifeline.
    """

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    descriptors: Sequence[int] = ()


@dataclass(frozen=True)
class RestartPolicy:
    """How long, in seconds.

    Attributes:
        drain: from being told to stop until what still runs is killed.
        first_pause, last_pause: before a program that died starts again, doubled each time.
        upkeep: between rounds of upkeep.
    """

    drain: float = 60.0
    first_pause: float = 0.25
    last_pause: float = 30.0
    upkeep: float = 0.5


class Supervisor:
    """Runs programs.

    Args:
        programs: to keep running.
        upkeep: done again and again meanwhile; what goes wrong in it is logged.
        on_exit: told the number of each process that died; what goes wrong in it is logged.
        restarts: with everything.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        upkeep: Upkeep | None = None,
        on_exit: Mourn | None = None,
        restarts: RestartPolicy | None = None,
    ) -> None:
        self._programs = programs
        self._upkeep = upkeep
        self._mourn = on_exit
        self._restarts = restarts or RestartPolicy()
        self._stopping = asyncio.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lifeline: int | None = None
        # As the first process of a container this one inherits what others leave behind.
        self._orphans = Orphans() if os.getpid() == 1 else None

    @property
    def pids(self) -> dict[str, int]:
        """The numbers of the processes that run, by their programs' names."""
        return {name: process.pid for name, process in self._processes.items()}

    def stop(self) -> None:
        """Have everything stop; called again, have it hasten."""
        self._stopping.set()
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then until all programs have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        reading, writing = os.pipe()
        self._lifeline = reading
        try:
            async with asyncio.TaskGroup() as group:
                for program in self._programs:
                    group.create_task(self._keep(program))
                group.create_task(self._keep_up())
                group.create_task(self._limit_draining())
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()
            os.close(reading)
            os.close(writing)

    async def _keep(self, program: Program) -> None:
        """Have a program run until everything stops."""
        deaths = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            pid, status = await self._run(program)
            if self._stopping.is_set():
                return
            if self._mourn:
                await _carefully(self._mourn(pid))
            deaths = 1 if time.monotonic() - began > _STEADY_SECONDS else deaths + 1
            reason = f"{program.name}_{'killed' if status < 0 else 'ended'}"
            WORKER_RESTARTS.labels(reason).inc()
            pause = min(self._restarts.first_pause * 2 ** (deaths - 1), self._restarts.last_pause)
            logger.error(
                "a process died and is started again",
                extra={"program": program.name, "status": status, "pause": pause},
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, program: Program) -> tuple[int, int]:
        """Start a program, wait for its end, and give its number and status, negative for a signal."""
        process = self._start(program)
        self._processes[program.name] = process
        try:
            while process.poll() is None:
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is not None:
                del self._processes[program.name]
                forget_process(process.pid)
        return process.pid, process.returncode

    def _start(self, program: Program) -> subprocess.Popen[bytes]:
        assert self._lifeline is not None, "run first"
        arguments = [*program.arguments, "--lifeline", str(self._lifeline)]
        return subprocess.Popen(  # noqa: S603  (of this program's own)
            [sys.executable, "-m", "spleeter_microservice", *arguments],
            env=dict(program.environ),
            pass_fds=[self._lifeline, *program.descriptors],
            start_new_session=True,  # Ctrl-C is this process's business
        )

    async def _keep_up(self) -> None:
        while not self._stopping.is_set() or self._processes:
            if self._upkeep:
                await _carefully(self._upkeep())
            if self._orphans:
                self._orphans.reap()
            await asyncio.sleep(self._restarts.upkeep)

    async def _limit_draining(self) -> None:
        await self._stopping.wait()
        logger.info("stopping", extra={"processes": self.pids})
        deadline = time.monotonic() + self._restarts.drain
        while self._processes and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        for name, process in self._processes.items():
            logger.error("a process does not stop and is killed", extra={"program": name})
            process.kill()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


async def _carefully(action: Awaitable[None]) -> None:
    try:
        await action
    except Exception:
        logger.exception("the supervisor could not do something; processes run on")
