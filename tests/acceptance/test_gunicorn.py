"""The API under Gunicorn, as in a deployment with several machines."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.descriptors import idle_connections, low_for_children, lowered
from tests.support.documents import blocks
from tests.support.service import KEY, free_port
from tests.support.waiting import wait_until

(COMMAND,) = blocks("docs/cli.md", "sh")


def test_it_serves_before_the_database_is_available_and_stops_cleanly(tmp_path: Path) -> None:
    """Two processes share their metrics; the exit status is 0; every line of the log is JSON."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")}
    settings = {
        "SPLEETER_ENV": "production",
        "SPLEETER_API_KEY": KEY,
        "SPLEETER_API_PROCESSES": "2",
        "SPLEETER_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing",
        "SPLEETER_DATA_DIR": str(tmp_path / "new"),
        "SPLEETER_HOST": "::",  # serves IPv4 too
        "SPLEETER_PORT": str(port),
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
    }
    log = tmp_path / "log"
    with low_for_children(), log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(COMMAND.text)],
            env=environ | settings,
            stdout=output,
            stderr=output,
        )
    try:
        assert alive(port, process), log.read_text()
        workers = [int(pid) for pid in children(process).read_text().split()]
        with lowered(workers, 160), idle_connections(port, 400):
            assert alive(port, process)
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
        assert 'spleeter_requests_total{method="GET",route="/health/live",status="200"}' in metrics
        assert 'spleeter_connections_closed_total{reason="no-key"}' in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
        assert not any("Control socket" in event for event in events)
    finally:
        process.kill()
        process.wait()


def children(process: "subprocess.Popen[bytes]") -> Path:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children")


def alive(port: int, process: "subprocess.Popen[bytes]") -> bool:
    def answers() -> bool:
        assert process.poll() is None
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=5).status_code == 200
        return False

    return wait_until(answers, within=60)
