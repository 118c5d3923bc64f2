"""Tries an image as its users run it: ``python scripts/try_image.py [IMAGE]``.

The container gets no rights, a root file system that it cannot write to, and an empty data folder.
``ENGINE`` is the program that runs it (``docker``), ``ENGINE_RUN`` holds more of its options, and
``ENGINE_PUBLISH`` those that make the API's port known to this machine.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

ENGINE = shlex.split(os.environ.get("ENGINE", "docker"))
OPTIONS = shlex.split(os.environ.get("ENGINE_RUN", ""))
PUBLISH = shlex.split(os.environ.get("ENGINE_PUBLISH", "--publish=127.0.0.1:18000:18000"))
KEY = uuid.uuid4().hex
PORT, SECOND_PORT, METRICS_PORT = 18000, 18001, 19000
CONFINED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
START_SECONDS = 180
JOB_SECONDS = 120
STOP_SECONDS = 60
ENGINE_SECONDS = 240
WRONG_SETTING = 2
# Zombies stay for some seconds before the first process takes leave of them.
REAP_SECONDS = 45

COUNT_ZOMBIES = """
import pathlib
states = [p.read_text().rpartition(")")[2].split()[0] for p in pathlib.Path("/proc").glob("[0-9]*/stat")]
print(states.count("Z"))
"""
KILL_WORKER = """
import os, pathlib, signal
for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if b"\\0worker\\0" in p.read_bytes():
        os.kill(int(p.parent.name), signal.SIGKILL)
"""


DATABASE = """
from pathlib import Path
from spleeter_microservice.database.embedded import EmbeddedPostgres
print(EmbeddedPostgres(Path("/data/postgres")).url)
"""
GUNICORN = (
    "-c",
    "python:spleeter_microservice.bootstrap.gunicorn",
    "spleeter_microservice.bootstrap.asgi:create()",
)


def main() -> int:
    """Try the image, and say what was seen."""
    image = sys.argv[1] if len(sys.argv) > 1 else "spleeter-microservice"
    volume = f"spleeter-try-{uuid.uuid4().hex[:8]}"
    refused = run(image, volume, "--rm", check=False)
    say(refused.returncode == WRONG_SETTING, f"without a key it does not start (status {refused.returncode})")
    key, port = f"--env=SPLEETER_API_KEY={KEY}", f"--env=SPLEETER_PORT={PORT}"
    container = run(image, volume, "--detach", key, port, *PUBLISH).stdout.strip()
    try:
        job = try_container(container)
        try_fleet(image, volume, container)
        try_stopping(container, job)
    except BaseException:
        print(engine("logs", container, check=False).stderr[-4000:], file=sys.stderr)
        raise
    finally:
        engine("rm", "--force", "--volumes", container, check=False)
        engine("volume", "rm", "--force", volume, check=False)
    return 0


def try_container(container: str) -> dict[str, Any]:
    """Use a container that is the whole service; give the job that it did."""
    say(True, f"ready {wait_until_ready():.1f} s after its start")
    say(python(container, "import os; print(os.getuid())") != "0", "it does not run as root")
    say(python(container, "open('/opt/written', 'w')") is None, "its root file system cannot be written to")
    health = json.loads(engine("inspect", "--format={{json .Config.Healthcheck.Test}}", container).stdout)
    say(engine("exec", container, *health[1:], check=False).returncode == 0, "its health check passes")
    say(b"<html" in answer("/")[1], "the page is there")
    say(answer("/v1/separations")[0] == HTTPStatus.UNAUTHORIZED, "a key is needed")
    job = separate(python_bytes(container, "example.mp3"))
    for stem in job["stems"]:
        size = len(fetch(f"/v1/separations/{job['id']}/stems/{stem['name']}"))
        print(f"  {stem['name']}: {size} bytes")
    say(len(job["stems"]) == 2, f"the example song was separated over HTTP in {job['waited']:.1f} s")
    python(container, KILL_WORKER)
    say(wait_until_no_zombie(container), "a killed worker leaves no zombie behind")
    wait_until_ready()
    return job


def try_fleet(image: str, volume: str, container: str) -> None:
    """Have an API under Gunicorn and a worker of their own work beside a container, on its database."""
    settings = {
        "SPLEETER_API_KEY": KEY,
        "SPLEETER_DATABASE_URL": python(container, DATABASE),
        "SPLEETER_STORAGE_URL": "/data/objects",
        "SPLEETER_DATA_DIR": "/tmp/data",  # noqa: S108  (in the container)
        "SPLEETER_PORT": str(SECOND_PORT),
        "SPLEETER_API_PROCESSES": "2",
        "SPLEETER_METRICS_PORT": str(METRICS_PORT),
    }
    options = ["--detach", *(f"--env={name}={value}" for name, value in settings.items())]
    worker = run(image, volume, *options, command=["worker"]).stdout.strip()
    api = run(image, volume, "--entrypoint=gunicorn", *options, command=GUNICORN).stdout.strip()
    try:
        say(wait_for_workers(api, 2), "an API under Gunicorn serves beside it, and so does a second worker")
        metrics = python(worker, get(METRICS_PORT, "/metrics")) or ""
        say("spleeter_separation_seconds" in metrics, "the second worker has metrics of its own")
        say(stop(api) == 0, "Gunicorn stops with status 0")
        say(stop(worker) == 0, "the second worker stops with status 0")
    except BaseException:
        for name in (api, worker):
            print(engine("logs", name, check=False).stderr[-2000:], file=sys.stderr)
        raise
    finally:
        engine("rm", "--force", api, worker, check=False)


def try_stopping(container: str, job: Mapping[str, Any]) -> None:
    """Stop a container, start it again, and stop it for good."""
    say(stop(container) == 0, "it stops with status 0")
    engine("start", container)
    wait_until_ready()
    kept = json.loads(fetch(f"/v1/separations/{job['id']}"))
    say(kept["state"] == "succeeded", "started again it still has the job")
    say(stop(container) == 0, "it stops with status 0 again")


def run(
    image: str, volume: str, *options: str, command: Sequence[str] = (), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Start a container as confined as the documents say."""
    given = [*CONFINED, f"--volume={volume}:/data", *OPTIONS, *options]
    return engine("run", *given, image, *command, check=check)


def engine(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the engine's program."""
    done = subprocess.run(  # noqa: S603  (the engine's)
        [*ENGINE, *arguments], capture_output=True, text=True, check=False, timeout=ENGINE_SECONDS
    )
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(ENGINE + list(arguments))}: status {done.returncode}\n{done.stderr}")
    return done


def python(container: str, code: str) -> str | None:
    """Run Python in the container; give what it printed, or None when it failed."""
    done = engine("exec", container, "python3", "-c", code, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def python_bytes(container: str, name: str) -> bytes:
    """Read the file of a model that is in the image."""
    code = f"import pathlib; print(next(pathlib.Path('/opt/models').rglob('{name}')).read_bytes().hex())"
    return bytes.fromhex(python(container, code) or "")


def separate(song: bytes) -> dict[str, Any]:
    """Upload a song and wait for its stems."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="song.mp3"\r\n\r\n'
    body = head.encode() + song + f"\r\n--{boundary}--\r\n".encode()
    began = time.monotonic()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    job: dict[str, Any] = json.loads(fetch("/v1/separations", body, headers))
    while job["state"] in ("queued", "running"):
        if time.monotonic() - began > JOB_SECONDS:
            raise SystemExit(f"not separated in {JOB_SECONDS} s: {job}")
        time.sleep(0.2)
        job = json.loads(fetch(f"/v1/separations/{job['id']}"))
    if job["state"] != "succeeded":
        raise SystemExit(f"not separated: {job}")
    return job | {"waited": time.monotonic() - began}


def fetch(path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """Send a request with the key, and give what came."""
    status, content = answer(path, body, {"X-API-KEY": KEY, **(headers or {})})
    if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        raise SystemExit(f"{path}: status {status}: {content.decode(errors='replace')}")
    return content


def answer(path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Send a request; the status is 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def wait_until_ready() -> float:
    """Wait until songs can be separated; give the seconds."""
    began = time.monotonic()
    while answer("/health/ready")[0] != HTTPStatus.OK:
        if time.monotonic() - began > START_SECONDS:
            raise SystemExit(f"not ready in {START_SECONDS} s")
        time.sleep(0.2)
    return time.monotonic() - began


def wait_until_no_zombie(container: str) -> bool:
    """Tell whether dead processes are taken leave of in time."""
    deadline = time.monotonic() + REAP_SECONDS
    while python(container, COUNT_ZOMBIES) != "0":
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def get(port: int, path: str) -> str:
    """Give Python that prints an answer."""
    return f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}{path}').read().decode())"


def wait_for_workers(container: str, number: int) -> bool:
    """Tell whether so many workers come to be ready, by an API's own account."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        health = python(container, get(SECOND_PORT, "/health/ready"))
        if health and json.loads(health)["parts"]["workers"]["count"] == number:
            return True
        time.sleep(1)
    return False


def stop(container: str) -> int:
    """Stop the container and give its exit status."""
    began = time.monotonic()
    engine("stop", f"--time={STOP_SECONDS}", container)
    print(f"  stopped in {time.monotonic() - began:.1f} s")
    return int(engine("inspect", "--format={{.State.ExitCode}}", container).stdout)


def say(right: bool, what: str) -> None:
    """Print what was seen, and end when it is not so."""
    if not right:
        raise SystemExit(f"NOT SO: {what}")
    print(f"ok: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
