"""What all processes share is loaded before the folder of their metrics is known."""

import subprocess
import sys

PROBE = """
import sys
import spleeter_microservice.bootstrap.shared, spleeter_microservice.bootstrap.tokens
import spleeter_microservice.observability.logs, spleeter_microservice.processes.supervisor
print("spleeter_microservice.observability.metrics" in sys.modules)
"""


def test_metrics_are_not_imported_before_their_folder_is_known() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
