"""Try an image the way its users run it: ``python scripts/try_image.py [IMAGE]``.

The container has a read-only root file system, an empty data folder of root's, and only the capabilities
that its start needs. The variable
``ENGINE`` names the program that runs it (default: ``docker``), ``ENGINE_RUN`` adds options, and
``ENGINE_PUBLISH`` has the options that publish the API's port on this machine.
"""

from __future__ import annotations

import http.client
import json
import os
import re
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
# A volume for /tmp, which holds PostgreSQL's socket, because the containers of try_fleet share a database.
CONFINED = (
    *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--cap-add=CHOWN", "--cap-add=SETGID", "--cap-add=SETPCAP", "--cap-add=SETUID"),
)
START_SECONDS = 180
JOB_SECONDS = 120
ACCOUNT = 10001
STOP_SECONDS = 60
ENGINE_SECONDS = 240
WRONG_SETTING = 2
# The first process leaves zombies for some seconds before it reaps them.
REAP_SECONDS = 45

PRIVILEGES = """
import pathlib, re
for p in pathlib.Path("/proc").glob("[0-9]*/status"):
    facts = dict(re.findall(r"(\\w+):\\s*(.+)", p.read_text()))
    user = set(facts["Uid"].split())
    capabilities = {value.strip("0") for name, value in facts.items() if name.startswith("Cap")}
    if p.parent.name != "self" and (user, capabilities - {""}, facts["NoNewPrivs"]) != ({"%s"}, set(), "1"):
        print(p, facts["Name"], facts["Uid"], facts["CapBnd"], facts["NoNewPrivs"])
"""
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
    """Try the image and print what works."""
    image = sys.argv[1] if len(sys.argv) > 1 else "spleeter-microservice"
    volume = f"spleeter-try-{uuid.uuid4().hex[:8]}"
    refused = run(image, volume, "--rm", check=False)
    say(refused.returncode == WRONG_SETTING, f"it does not start without a key (status {refused.returncode})")
    try_minimal(image)
    try_nameless(image)
    key, port = f"--env=SPLEETER_API_KEY={KEY}", f"--env=SPLEETER_PORT={PORT}"
    container = run(image, volume, "--detach", key, port, *PUBLISH).stdout.strip()
    try:
        job = try_container(container)
        try_fleet(image, volume, container)
        try_stopping(container, job)
    finally:
        print_failure(container)
        engine("rm", "--force", "--volumes", container, check=False)
        engine("volume", "rm", "--force", volume, f"{volume}-tmp", check=False)
    return 0


def try_minimal(image: str) -> None:
    """Run the image as deploy/minimal does, with the engine's defaults and a data folder of root's."""
    volume = f"spleeter-try-{uuid.uuid4().hex[:8]}"
    root = ("--user=0", f"--volume={volume}:/data", *OPTIONS, "--entrypoint=/bin/sh", image, "-c")
    engine("run", "--rm", *root, "chown 0:0 /data && chmod 700 /data && touch /data/roots")
    settings = (
        "--env=SPLEETER_API_KEY=supersecret",
        f"--env=SPLEETER_PORT={PORT}",
        "--env=SPLEETER_ENV=production",
    )
    container = engine(
        "run", "--detach", f"--volume={volume}:/data", *settings, *PUBLISH, *OPTIONS, image
    ).stdout.strip()
    try:
        wait_until_ready()
        say(python(container, PRIVILEGES % ACCOUNT) == "", "no process in it has a privilege")
        owners = "import os; print(*(os.stat(p).st_uid for p in ('/data', '/data/roots')))"
        say(python(container, owners) == f"{ACCOUNT} 0", "it is given the folder /data, and nothing in it")
        warnings = json.loads(answer("/health")[1])["warnings"]
        say("11 characters" in warnings[0], "it warns of the key supersecret")
        keys = engine("exec", container, "spleeter-microservice", "keys", "create", check=False)
        say(keys.stdout.startswith("sms_"), "keys can be created in it")
        say(stop(container) == 0, "it stops with status 0")
    finally:
        print_failure(container)
        engine("rm", "--force", container, check=False)
        engine("volume", "rm", "--force", volume, check=False)


def try_nameless(image: str) -> None:
    """Run the image under a user id without a name, in group 0 and without any capability."""
    options = (
        "--user=1000680000:0",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--tmpfs=/tmp",
    )
    settings = (f"--env=SPLEETER_API_KEY={KEY}", f"--env=SPLEETER_PORT={PORT}")
    container = engine("run", "--detach", *options, *settings, *PUBLISH, *OPTIONS, image).stdout.strip()
    try:
        wait_until_ready()
        say(python(container, "import os; print(os.getuid())") == "1000680000", "any other user id works")
        say(stop(container) == 0, "and stops with status 0")
    finally:
        print_failure(container)
        engine("rm", "--force", "--volumes", container, check=False)


def try_container(container: str) -> dict[str, Any]:
    """Use a container that is the whole service; return its finished job."""
    say(True, f"it is ready {wait_until_ready():.1f} s after its start")
    say(python(container, PRIVILEGES % ACCOUNT) == "", "no process in it has a privilege")
    say(python(container, "open('/opt/written', 'w')") is None, "its root file system is read-only")
    health = json.loads(engine("inspect", "--format={{json .Config.Healthcheck.Test}}", container).stdout)
    say(engine("exec", container, *health[1:], check=False).returncode == 0, "its health check passes")
    files = re.findall(r'"\./(assets/[^"]+)"', answer("/")[1].decode())
    served = {answer(f"/{name}")[0] for name in files}
    say(served == {HTTPStatus.OK}, f"it serves the page, with {len(files)} other files")
    programs = "import shutil; print(*filter(shutil.which, ('node', 'npm')))"
    say(python(container, programs) == "", "it does not have Node.js, which built the page")
    say(answer("/v1/separations")[0] == HTTPStatus.UNAUTHORIZED, "it requires a key")
    job = separate(python_bytes(container, "example.mp3"))
    for stem in job["stems"]:
        size = len(fetch(f"/v1/separations/{job['id']}/stems/{stem['name']}"))
        print(f"  {stem['name']}: {size} bytes")
    say(len(job["stems"]) == 2, f"it separates the example song over HTTP in {job['waited']:.1f} s")
    python(container, KILL_WORKER)
    say(wait_until_no_zombie(container), "a killed worker leaves no zombie behind")
    wait_until_ready()
    return job


def try_fleet(image: str, volume: str, container: str) -> None:
    """Run an API under Gunicorn and a worker on the database of another container."""
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
        say(wait_for_workers(api, 2), "an API under Gunicorn and a second worker work on its database")
        metrics = python(worker, get(METRICS_PORT, "/metrics")) or ""
        say("spleeter_separation_seconds" in metrics, "the second worker has its own metrics")
        say(stop(api) == 0, "Gunicorn stops with status 0")
        say(stop(worker) == 0, "the second worker stops with status 0")
    finally:
        print_failure(api, worker)
        engine("rm", "--force", api, worker, check=False)


def try_stopping(container: str, job: Mapping[str, Any]) -> None:
    """Stop a container, start it again, and stop it once more."""
    say(stop(container) == 0, "it stops with status 0")
    engine("start", container)
    wait_until_ready()
    kept = json.loads(fetch(f"/v1/separations/{job['id']}"))
    say(kept["state"] == "succeeded", "it still has the job after a restart")
    say(stop(container) == 0, "it stops with status 0 again")


def run(
    image: str, volume: str, *options: str, command: Sequence[str] = (), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Start a container with the confinement that the documents describe."""
    given = [*CONFINED, f"--volume={volume}:/data", f"--volume={volume}-tmp:/tmp", *OPTIONS, *options]
    return engine("run", *given, image, *command, check=check)


def engine(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the container engine."""
    done = subprocess.run(  # noqa: S603  (the engine's)
        [*ENGINE, *arguments], capture_output=True, text=True, check=False, timeout=ENGINE_SECONDS
    )
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(ENGINE + list(arguments))}: status {done.returncode}\n{done.stderr}")
    return done


def print_failure(*containers: str) -> None:
    """Print the end of the containers' logs if an exception is being handled."""
    if sys.exc_info()[0]:
        for name in containers:
            print(engine("logs", name, check=False).stderr[-4000:], file=sys.stderr)


def python(container: str, code: str) -> str | None:
    """Run Python code in the container; return its output, or None if it failed."""
    done = engine("exec", container, "python3", "-c", code, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def python_bytes(container: str, name: str) -> bytes:
    """Return the content of a file among the image's models."""
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
            raise SystemExit(f"The song was not separated within {JOB_SECONDS} s: {job}")
        time.sleep(0.2)
        job = json.loads(fetch(f"/v1/separations/{job['id']}"))
    if job["state"] != "succeeded":
        raise SystemExit(f"The separation did not succeed: {job}")
    return job | {"waited": time.monotonic() - began}


def fetch(path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """Send a request with the key and return the body of the response."""
    status, content = answer(path, body, {"X-API-KEY": KEY, **(headers or {})})
    if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        raise SystemExit(f"{path}: status {status}: {content.decode(errors='replace')}")
    return content


def answer(path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Send a request and return the status and body; the status is 0 without a response."""
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
    """Wait until the service is ready; return the seconds that it took."""
    began = time.monotonic()
    while answer("/health/ready")[0] != HTTPStatus.OK:
        if time.monotonic() - began > START_SECONDS:
            raise SystemExit(f"The service was not ready within {START_SECONDS} s.")
        time.sleep(0.2)
    return time.monotonic() - began


def wait_until_no_zombie(container: str) -> bool:
    """Return whether all zombies are reaped in time."""
    deadline = time.monotonic() + REAP_SECONDS
    while python(container, COUNT_ZOMBIES) != "0":
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def get(port: int, path: str) -> str:
    """Return Python code that prints the response to a GET request."""
    return f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}{path}').read().decode())"


def wait_for_workers(container: str, number: int) -> bool:
    """Return whether this many workers become ready according to the API."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        health = python(container, get(SECOND_PORT, "/health/ready"))
        if health and json.loads(health)["parts"]["workers"]["count"] == number:
            return True
        time.sleep(1)
    return False


def stop(container: str) -> int:
    """Stop the container and return its exit status."""
    began = time.monotonic()
    engine("stop", f"--time={STOP_SECONDS}", container)
    print(f"  stopped in {time.monotonic() - began:.1f} s")
    return int(engine("inspect", "--format={{.State.ExitCode}}", container).stdout)


def say(right: bool, what: str) -> None:
    """Print what works, or exit if it does not."""
    if not right:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
