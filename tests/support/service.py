"""The whole service as real processes, for tests that use its API and kill some of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.descriptors import low_for_children
from tests.support.waiting import wait_until

_REPOSITORY = Path(__file__).parents[2]
KEY = "a key for tests: not to be guessed".replace(" ", "-")
_FINAL = ("succeeded", "failed", "cancelled")


class Service:
    """One command of this program and the processes that it starts.

    Args:
        folder: of the data.
        models: where the 2-stem weights are installed.
        command: ``serve``, ``api`` or ``worker``.
        environ: more variables.
    """

    def __init__(
        self, folder: Path, models: Path, command: str = "serve", environ: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = command
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")},
            "PYTHONPATH": str(_REPOSITORY / "src"),
            "SPLEETER_API_KEY": KEY,
            "SPLEETER_DATA_DIR": str(folder),
            "SPLEETER_MODELS_DIR": str(models),
            "SPLEETER_PORT": str(self.port),
            "SPLEETER_REQUESTS_PER_MINUTE": "100000",
            **(environ or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=self.url, headers={"X-API-KEY": KEY}, timeout=60, trust_env=False)

    @property
    def log(self) -> Path:
        """The file that its output is written to."""
        return self.folder / "log"

    def start(self, **environ: str) -> None:
        """Start the command, with more variables if any; ``wait_until_ready`` waits for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with low_for_children(), self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "spleeter_microservice", self._command],
                env=self._environ | environ,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def wait_until_ready(self, status: int = 200) -> None:
        """Wait until ``/health/ready`` returns this status."""

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            return self.readiness() == status

        wait_until(ready)

    def readiness(self) -> int | None:
        """Return the status of ``/health/ready``, or None if nothing answers."""
        try:
            return self.client.get("/health/ready").status_code
        except httpx.TransportError:
            return None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait()

    def submit(self, song: Path, **fields: Any) -> dict[str, Any]:
        """Submit a song and return its job."""
        with song.open("rb") as file:
            answer = self.client.post("/v1/separations", files={"file": (song.name, file)}, data=fields)
        assert answer.status_code in (200, 202), answer.text
        job: dict[str, Any] = answer.json()
        return job

    def job(self, number: str) -> dict[str, Any]:
        """Return a job as the API shows it."""
        answer = self.client.get(f"/v1/separations/{number}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def wait_for(self, number: str, *states: str) -> dict[str, Any]:
        """Wait until a job is in one of these states, by default until it has ended."""

        def reached() -> dict[str, Any] | None:
            with contextlib.suppress(httpx.TransportError):
                response = self.client.get(f"/v1/separations/{number}")
                if response.status_code == 200:
                    job: dict[str, Any] = response.json()
                    return job if job["state"] in (states or _FINAL) else None
                assert response.status_code == 503, response.text
            return None

        return wait_until(reached)

    def wait_for_log(self, event: str) -> None:
        """Wait until the log mentions an event."""
        wait_until(lambda: event in self.log.read_text())

    def pids(self, part: str) -> list[int]:
        """Return the PIDs of a part: ``api``, ``worker`` or ``inference_child``, for instance."""
        return [pid for pid, command in mentioning(self.folder) if part in command]


def mentioning(folder: Path) -> list[tuple[int, list[str]]]:
    """Return the other processes whose command or environment names a directory."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command, environ = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in command + environ and int(place.name) != os.getpid():
            words = [os.fsdecode(word) for word in command.split(b"\0")]
            found.append((int(place.name), [word.rpartition(".")[2] for word in words]))
    return found


def wait_until_gone(folder: Path) -> None:
    """Wait until no process names a folder."""
    wait_until(lambda: not mentioning(folder))


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def running(
    folder: Path,
    models: Path,
    command: str = "serve",
    environ: Mapping[str, str] | None = None,
    *,
    ready: bool = True,
) -> Iterator[Service]:
    """Run a command, wait until it is ready if asked to, and kill what is left of it at the end."""
    service = Service(folder, models, command, environ)
    service.start()
    try:
        if ready:
            service.wait_until_ready()
        yield service
    finally:
        service.client.close()
        if service.process and service.process.poll() is None:
            service.process.terminate()
            try:
                service.process.wait(60)
            except subprocess.TimeoutExpired:
                service.process.kill()
                service.process.wait()
        for pid, _ in mentioning(folder):
            os.kill(pid, signal.SIGKILL)
