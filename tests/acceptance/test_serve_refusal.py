"""The service refuses to start where it would be unsafe."""

import os
import subprocess
import sys
from pathlib import Path

from spleeter_microservice.errors import ConfigurationError
from tests.support.service import free_port


def test_nothing_starts_in_production_without_authentication(tmp_path: Path) -> None:
    """The status is that of a wrong setting, the message says what to do, and no process is left to retry."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SPLEETER_")}
    settings = {
        "SPLEETER_ENV": "production",
        "SPLEETER_DATA_DIR": str(tmp_path),
        "SPLEETER_PORT": str(free_port()),
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
    }
    command = [sys.executable, "-m", "spleeter_microservice", "serve"]
    done = subprocess.run(command, env=environ | settings, capture_output=True, text=True, check=False)
    assert done.returncode == ConfigurationError.exit_status, done.stderr
    assert "SPLEETER_API_KEY" in done.stderr.splitlines()[-1]
    assert "Page and API" not in done.stdout
