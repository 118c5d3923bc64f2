"""The command line starts fast."""

import subprocess
import sys


def test_help_loads_no_library_that_separates() -> None:
    code = (
        "import sys; from spleeter_microservice.cli.main import make_parser; make_parser(); "
        "print({'numpy', 'av', 'onnx', 'onnxruntime', 'torch', 'psycopg', 'fastapi'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
