"""The service as separate processes on its own PostgreSQL; each is restarted when it exits."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO, Self

from bench.client import Client
from bench.processes import Process, children, process
from spleeter_microservice.database.connection import Database
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.jobs.object_sweeper import ObjectSweeper
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.store import open_storage

GUNICORN = (
    "gunicorn", "-c", "python:spleeter_microservice.bootstrap.gunicorn",
    "spleeter_microservice.bootstrap.asgi:create()",
)  # fmt: skip
"""Gunicorn's module and arguments."""

_ROOT = Path(__file__).parent.parent
_POLL = 0.05  # seconds between checks of the processes
_PAUSE = 0.2  # seconds before a restart
_START = 300.0  # seconds that the service may take to become ready on a busy machine
_STOP = 30.0


class Program:
    """One process of the service, restarted whenever it exits.

    Args:
        command: the program and its arguments.
        name: name of the log file.
        environment: the complete environment of the process.
        folder: the folder of the log file.

    Attributes:
        starts: number of starts.
    """

    def __init__(
        self, command: Sequence[str], name: str, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.starts = 0
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, or None if the process is not running."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process and running else None

    def start(self) -> None:
        """Start the process; its output goes to the log."""
        if self._output is None:
            self._output = self.log.open("ab")
        self.starts += 1
        self._process = subprocess.Popen(
            self._command,
            cwd=_ROOT,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """Send SIGTERM to the process."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until the process has exited; kill it and raise if it does not."""
        if self._process is not None:
            try:
                self._process.wait(_STOP)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError(
                    f"{self.name} did not stop within {_STOP:g} s. {self.stderr_tail()}"
                ) from None
        if self._output is not None:
            self._output.close()
            self._output = None

    def stderr_tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


class Fleet:
    """One API and some workers; an asynchronous context manager that starts and stops them.

    Args:
        folder: the folder for all their data.
        workers: number of worker processes.
        environment: settings to override.
        server: ``api``, ``gunicorn`` for the API under Gunicorn, or ``serve``, which runs everything itself.
        descriptors: hard limit on the descriptors of each process; by default that of this process.
    """

    def __init__(
        self,
        folder: Path,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        server: str = "api",
        descriptors: int | None = None,
    ) -> None:
        self.folder = folder
        self.data, self.objects = folder / "data", folder / "objects"
        self.key = secrets.token_urlsafe(32)
        self.port = free_port()
        self.server = server
        self._whole = server == "serve"
        self.postgres = EmbeddedPostgres((self.data if self._whole else folder) / "postgres")
        self._changes = dict(environment or {})
        self._names = [] if self._whole else [f"worker{number}" for number in range(1, workers + 1)]
        self._limit = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"] if descriptors else []
        self._supervisor: asyncio.Task[None] | None = None
        self.api: Program
        self.workers: list[Program] = []

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        """Return a client with all scopes."""
        return Client(self.url, self.key)

    async def __aenter__(self) -> Self:
        settings = Settings.from_environment(os.environ)
        find_model("2stems", ModelStore(settings.models_dir, mirror=settings.models_url))
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._whole:
            await asyncio.to_thread(self.postgres.start)
        environment = self._environment(settings.models_dir)
        self.api = Program(self._command(self.server), self.server, environment, self.folder)
        worker = self._command("worker")
        self.workers = [Program(worker, name, environment, self.folder) for name in self._names]
        try:
            for program in self.programs:
                program.start()
            self._supervisor = asyncio.create_task(self._supervise())
            await self.ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._supervisor:
            self._supervisor.cancel()
        for program in self.programs:
            program.terminate()
        try:
            for program in self.programs:
                await asyncio.to_thread(program.wait)
        finally:
            await asyncio.to_thread(self.postgres.stop)

    @property
    def programs(self) -> list[Program]:
        """The API and the workers."""
        return [self.api, *self.workers]

    async def ready(self) -> None:
        """Wait until every worker can separate songs.

        Raises:
            RuntimeError: if that takes too long; the message ends with the logs.
        """
        try:
            async with asyncio.timeout(_START), self.client() as client:
                while not (await client.is_ready() and all(map(self.helpers, self.workers))):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            logs = "\n".join(f"{program.name}: {program.stderr_tail()}" for program in self.programs)
            raise RuntimeError(f"The service is not ready after {_START:g} s.\n{logs}") from None

    def helpers(self, program: Program) -> list[Process]:
        """Return the child processes of a program."""
        pid = program.pid
        return children(pid) if pid else []

    def family(self) -> list[Process]:
        """Return every running process of the service except the database."""
        own = [found for program in self.programs if program.pid and (found := process(program.pid))]
        return own + [helper for program in self.programs for helper in self.helpers(program)]

    def stop_database(self) -> None:
        """Stop PostgreSQL immediately, as a crash would."""
        pid = int((self.postgres.cluster / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)

    async def start_database(self) -> None:
        """Start PostgreSQL unless it is running."""
        await asyncio.to_thread(self.postgres.ensure_running)

    def leftovers(self) -> list[str]:
        """Return the names of all files of objects, uploads and work, except locks."""
        folders = (self.objects, self.data / "spool", self.data / "work")
        # Unlike Path.rglob, it passes over folders that are being removed.
        walks = (walk for folder in folders for walk in os.walk(folder))
        found = [Path(root, name) for root, _, names in walks for name in names]
        return sorted(str(path.relative_to(self.folder)) for path in found if path.suffix != ".lock")

    async def leftovers_in_the_end(self) -> list[str]:
        """Return the files that remain after the hourly sweep of the workers, while no request is running.

        Workers that were killed may be restarting, and separating the reference clip in their work folders.
        """
        async with Database(self.postgres.url) as database:
            objects = JobObjects(database, open_storage(str(self.objects)))
            await ObjectSweeper(database, objects, age=timedelta()).sweep()
        deadline = time.monotonic() + _START
        while (found := self.leftovers()) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return found

    async def _supervise(self) -> None:
        while True:
            for program in self.programs:
                if program.pid is None:
                    await asyncio.sleep(_PAUSE)
                    program.start()
            await asyncio.sleep(_POLL)

    def _command(self, program: str) -> list[str]:
        module = GUNICORN if program == "gunicorn" else ("spleeter_microservice", program)
        return [*self._limit, sys.executable, "-m", *module]

    def _environment(self, models: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")}
        return inherited | {
            "PYTHONPATH": str(_ROOT / "src"),
            "SPLEETER_ENV": "production",
            "SPLEETER_API_KEY": self.key,
            "SPLEETER_DATABASE_URL": "" if self._whole else self.postgres.url,
            "SPLEETER_STORAGE_URL": str(self.objects),
            "SPLEETER_DATA_DIR": str(self.data),
            "SPLEETER_MODELS_DIR": str(models.absolute()),
            "SPLEETER_PORT": str(self.port),
            "SPLEETER_MAX_QUEUED": "100000",
            "SPLEETER_MAX_QUEUED_HOURS": "100000",
            "SPLEETER_REQUESTS_PER_MINUTE": "1000000",
            **self._changes,
        }


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
