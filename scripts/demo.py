"""Start the service, separate the example song through its HTTP API, and print the result."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from spleeter_microservice.access import key_format
from spleeter_microservice.models.example import EXAMPLE_SONG
from spleeter_microservice.models.provide import find_model
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.settings import Settings

OUTPUT = Path("separated_audio")
START_SECONDS = 120.0
_FINAL = ("succeeded", "failed", "cancelled")


def demo() -> int:
    """Install the weights if necessary, then do what a user of the API would."""
    settings = Settings.from_environment(os.environ)
    store = ModelStore(settings.models_dir, mirror=settings.models_url)
    song = find_model("2stems", store, announce=print).folder / EXAMPLE_SONG
    if not song.exists():
        raise SystemExit(
            "The model 2stems was imported without its example song. Pull it again: "
            "spleeter-microservice models remove 2stems; spleeter-microservice models pull 2stems"
        )
    with (
        tempfile.TemporaryDirectory(prefix="spleeter-demo-") as folder,
        _service(Path(folder), settings) as api,
    ):
        print(
            f"The service is running at {api.base_url}. Sending {song.name} to POST /v1/separations",
            flush=True,
        )
        begun = time.monotonic()
        job = _separated(api, song)
        seconds = time.monotonic() - begun
        if job["state"] != "succeeded":
            print(f"The separation {job['state']}: {job['error']['message']}", file=sys.stderr)
            return 1
        _fetch(api, job, OUTPUT / song.stem)
        length = job["input"]["seconds"]
        print(
            f"{song.name}: {length:.1f} s of audio in {seconds:.1f} s from upload to result, "
            f"{length / seconds:.1f} times faster than real time "
            f"({job['details']['realtime_factor']:.1f} times the separation alone)"
        )
    print("The service has stopped. To start it yourself: make serve")
    return 0


@contextmanager
def _service(folder: Path, settings: Settings) -> Iterator[httpx.Client]:
    """Run ``serve`` on a free port with its own data folder and key, and yield a client."""
    key, port = key_format.generate(), _free_port()
    environ = os.environ | {
        "SPLEETER_API_KEY": key,
        "SPLEETER_PORT": str(port),
        "SPLEETER_DATA_DIR": str(folder),
        "SPLEETER_MODELS_DIR": str(settings.models_dir.absolute()),
        "SPLEETER_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "spleeter_microservice", "serve"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)  # noqa: S603  (this program)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"X-API-KEY": key}, timeout=60
        ) as client:
            _wait_until_ready(client, process, log)
            yield client
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if client.get("/health/ready").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{log.read_text(encoding='utf-8')}The service does not start.")


def _separated(client: httpx.Client, song: Path) -> dict[str, Any]:
    """Upload a song and wait until its job has ended."""
    with song.open("rb") as file:
        answer = client.post("/v1/separations", files={"file": (song.name, file)}, data={"stems": "2"})
    answer.raise_for_status()
    job: dict[str, Any] = answer.json()
    while job["state"] not in _FINAL:
        time.sleep(0.1)
        job = client.get(job["url"]).raise_for_status().json()
    return job


def _fetch(client: httpx.Client, job: dict[str, Any], folder: Path) -> None:
    """Download every stem."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem in job["stems"]:
        path = folder / f"{stem['name']}.wav"
        with client.stream("GET", stem["url"]) as response, path.open("wb") as file:
            response.raise_for_status()
            for block in response.iter_bytes():
                file.write(block)
        level = job["measurements"]["stems"][stem["name"]]["level"]
        print(f"{path}  {'silent' if level is None else f'{level:.1f} dBFS'}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(demo())
