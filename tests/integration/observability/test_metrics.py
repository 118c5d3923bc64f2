"""Metrics of several processes are added up."""

import subprocess
import sys
from pathlib import Path


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
