"""Standard streams may be closed or full, and a process may be interrupted while it loads."""

import subprocess
import sys

import pytest

from spleeter_microservice.errors import DiskFullError

COMMAND = f"{sys.executable} -m spleeter_microservice"
LOST = "Error: Standard output cannot be written: No space left on device.\n"


@pytest.mark.parametrize(
    ("redirection", "status", "errors"),
    [
        (">/dev/full", DiskFullError.exit_status, LOST),
        (">/dev/full 2>&1", DiskFullError.exit_status, ""),
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_lost_output_is_one_line_with_a_status(redirection: str, status: int, errors: str) -> None:
    command = ["bash", "-c", f"{COMMAND} separate --help {redirection}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, errors)


def test_lost_errors_do_not_change_the_status() -> None:
    done = subprocess.run(["bash", "-c", f"{COMMAND} models remove x 2>/dev/full"], check=False)
    assert done.returncode == 30


@pytest.mark.parametrize("module", ["signal", "argparse", "spleeter_microservice.settings", "numpy"])
def test_ctrl_c_while_a_module_is_loaded_is_one_line(module: str) -> None:
    code = (
        "import os, sys\n"
        "class Interrupter:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), 2)\n"
        "sys.meta_path.insert(0, Interrupter())\n"
        f"sys.modules.pop({module!r}, None)\n"
        "sys.argv[1:] = ['separate', 'nowhere.wav']\n"
        "from spleeter_microservice.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Interrupted")
    assert "Traceback" not in done.stderr
