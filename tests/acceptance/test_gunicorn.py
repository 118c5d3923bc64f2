"""The API under Gunicorn with Uvicorn's workers, as in the image."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.service import KEY, free_port

_REPOSITORY = Path(__file__).parents[2]


def answer(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return None


@pytest.mark.timeout(200)
def test_gunicorn_runs_several_processes_that_share_their_metrics_and_stop_on_sigterm(
    database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")}
    environ = kept | {
        "PYTHONPATH": str(_REPOSITORY / "src"),
        "SPLEETER_DATABASE_URL": database_url,
        "SPLEETER_DATA_DIR": str(tmp_path / "data"),
        "SPLEETER_PORT": str(port),
        "SPLEETER_API_KEY": KEY,
        "SPLEETER_ENV": "production",
        "SPLEETER_API_PROCESSES": "2",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:spleeter_microservice.gunicorn_settings"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "spleeter_microservice.asgi:create()"], env=environ, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 90
        while (found := answer(f"http://127.0.0.1:{port}/health/live")) is None or found.status_code != 200:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        for _ in range(20):  # whichever process answers
            assert answer(f"http://127.0.0.1:{port}/health/live")
        metrics = answer(f"http://127.0.0.1:{port}/metrics")
        assert metrics is not None
        (line,) = (
            line
            for line in metrics.text.splitlines()
            if line.startswith('spleeter_requests_total{method="GET",route="/health/live"')
        )
        assert float(line.split()[-1]) >= 21
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
