"""Supervision of child processes: they are restarted when they exit, and stopped together.

Each child inherits the reading end of a pipe, its lifeline, whose writing end the supervisor holds. When the
supervisor exits, even if it is killed, the children notice and stop (``parent_watch``).
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
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.processes.zombie_reaper import ZombieReaper

logger = logging.getLogger(__name__)

Upkeep = Callable[[], Awaitable[None]]
OnExit = Callable[[int, str], Awaitable[None]]

_POLL_SECONDS = 0.05
_NO_PROCESS = 126  # the status of shells for a command that cannot be run
_STEADY_SECONDS = 30.0  # a program that ran for longer is restarted without a growing pause


@dataclass(frozen=True)
class Program:
    """A command of this package to keep running.

    Attributes:
        name: name for logs and metrics.
        arguments: arguments of ``spleeter-microservice``.
        environ: its complete environment.
        descriptors: file descriptors that it inherits besides its lifeline.
    """

    name: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    descriptors: Sequence[int] = ()


@dataclass(frozen=True)
class RestartPolicy:
    """Intervals of a supervisor, in seconds.

    Attributes:
        drain: time from the request to stop until programs that still run are killed.
        first_pause: pause before the first restart; it doubles with each further exit.
        last_pause: the longest pause before a restart.
        upkeep: pause between rounds of upkeep.
        stopped: time for which a program may be stopped (SIGSTOP) before it is killed and restarted.
    """

    drain: float = 60.0
    first_pause: float = 0.25
    last_pause: float = 15.0
    upkeep: float = 0.5
    stopped: float = 30.0


class Supervisor:
    """Keeps programs running until it is asked to stop, or one of them cannot start at all.

    Args:
        programs: programs to keep running.
        upkeep: called repeatedly while programs run; its errors are logged.
        on_exit: called with the process id and a reason, such as ``worker_killed``, after a program exits
            unexpectedly; its errors are logged.
        restarts: when to restart and when to kill programs.
        hopeless: exit statuses that another start would not change; a program that ends its first run with
            one of them ends all.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        upkeep: Upkeep | None = None,
        on_exit: OnExit | None = None,
        restarts: RestartPolicy | None = None,
        hopeless: Container[int] = (),
    ) -> None:
        self._programs = programs
        self._upkeep = upkeep
        self._on_exit = on_exit
        self._restarts = restarts or RestartPolicy()
        self._hopeless = hopeless
        self._status = 0
        self._stopping = asyncio.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped: dict[int, float] = {}
        self._lifeline: int | None = None
        # The first process of a container inherits the children of exited processes.
        self._zombies = ZombieReaper() if os.getpid() == 1 else None

    @property
    def pids(self) -> dict[str, int]:
        """The ids of the running processes, by the names of their programs."""
        return {name: process.pid for name, process in self._processes.items()}

    def stop(self) -> None:
        """Ask all programs to stop; a second call makes them hurry."""
        # Uvicorn hurries at SIGINT only.
        number = signal.SIGINT if self._stopping.is_set() else signal.SIGTERM
        self._stopping.set()
        for process in self._processes.values():
            _signal(process, number)

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT, and then until all programs have exited.

        Returns:
            0, or the exit status of the program that cannot start.
        """
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
        return self._status

    async def _keep(self, program: Program) -> None:
        """Run a program again and again until the supervisor stops."""
        exits = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            pid, status = await self._run(program)
            if self._stopping.is_set():
                return
            if exits == 0 and status in self._hopeless:
                logger.error("process cannot start", extra={"program": program.name, "status": status})
                self._status = status
                self.stop()
                return
            if self._on_exit:
                reason = f"{program.name}_{'killed' if status < 0 else 'ended'}"
                await _carefully(self._on_exit(pid, reason))
            exits = 1 if time.monotonic() - started > _STEADY_SECONDS else exits + 1
            pause = min(self._restarts.first_pause * 2 ** (exits - 1), self._restarts.last_pause)
            logger.error(
                "process exited; restarting it",
                extra={"program": program.name, "status": status, "pause": pause},
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _run(self, program: Program) -> tuple[int, int]:
        """Run a program, and return its process id and its exit status, which is negative for a signal."""
        try:
            process = self._start(program)
        except OSError:  # too many processes or open files, or no memory
            logger.exception("cannot start a process", extra={"program": program.name})
            return 0, _NO_PROCESS
        self._processes[program.name] = process
        try:
            while process.poll() is None:
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is not None:
                del self._processes[program.name]
        return process.pid, process.returncode

    def _start(self, program: Program) -> subprocess.Popen[bytes]:
        assert self._lifeline is not None, "run first"
        arguments = [*program.arguments, "--lifeline", str(self._lifeline)]
        return subprocess.Popen(  # noqa: S603  (this package's own command)
            [sys.executable, "-m", "spleeter_microservice", *arguments],
            env=dict(program.environ),
            pass_fds=[self._lifeline, *program.descriptors],
            start_new_session=True,  # so that Ctrl-C reaches the supervisor only
        )

    async def _keep_up(self) -> None:
        while not self._stopping.is_set() or self._processes:
            if self._upkeep:
                await _carefully(self._upkeep())
            self._kill_stopped()
            if self._zombies:
                self._zombies.reap()
            await asyncio.sleep(self._restarts.upkeep)

    def _kill_stopped(self) -> None:
        """Kill the programs that have been stopped for long, since no request to stop reaches them either."""
        now, found = time.monotonic(), {pid: name for name, pid in self.pids.items() if _is_stopped(pid)}
        self._stopped = {pid: self._stopped.get(pid, now) for pid in found}
        for pid, since in self._stopped.items():
            if now - since > self._restarts.stopped:
                logger.error("process is stopped; killing it", extra={"program": found[pid]})
                self._processes[found[pid]].kill()

    async def _limit_draining(self) -> None:
        await self._stopping.wait()
        logger.info("stopping", extra={"processes": self.pids})
        deadline = time.monotonic() + self._restarts.drain
        while self._processes and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        for name, process in self._processes.items():
            logger.error("process does not stop; killing it", extra={"program": name})
            process.kill()


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):  # it has exited, or the system has no such files
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] == "T"
    return False


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


async def _carefully(action: Awaitable[None]) -> None:
    try:
        await action
    except Exception:
        logger.exception("a duty of the supervisor failed")
