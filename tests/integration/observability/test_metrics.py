"""Metrics of several processes are added up, and served where the settings say."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.observability import metrics
from spleeter_microservice.observability.metrics import serve_metrics
from tests.support.service import free_port
from tests.support.small_disk import small_disk


def test_the_metrics_of_processes_that_share_a_folder_are_added_up(tmp_path: Path) -> None:
    script = (
        "from spleeter_microservice.observability.metrics import *; WORKER_RESTARTS.labels('x').inc();"
        "print(exposition().decode())"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert 'spleeter_worker_restarts_total{reason="x"} 2.0' in done.stdout


def test_a_full_disk_ends_no_process_that_counts(tmp_path: Path) -> None:
    script = (
        "from spleeter_microservice.observability.metrics import *\n"
        "for name in range(2000): WORKER_RESTARTS.labels(str(name)).inc()\n"
    )
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        disk.fill()
        environ = {"PROMETHEUS_MULTIPROC_DIR": str(disk.folder), "PYTHONPATH": ":".join(sys.path)}
        assert subprocess.run([sys.executable, "-c", script], env=environ, check=False).returncode == 0


def test_the_metrics_of_a_worker_are_served_on_its_address_only(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setattr(metrics, "_REQUEST_SECONDS", 1.0)
    serve_metrics("127.0.0.1", port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
        assert silent.recv(1) == b""
    assert capfd.readouterr().err == ""
    assert (
        "spleeter_worker_restarts_total"
        in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    )
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{port}/metrics", trust_env=False)
    with pytest.raises(ConfigurationError, match="SPLEETER_METRICS_PORT"):
        serve_metrics("127.0.0.1", port)
