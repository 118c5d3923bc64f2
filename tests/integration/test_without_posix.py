"""The library and the command line run where Python lacks what only POSIX has, as on Windows."""

import subprocess
import sys
from pathlib import Path

import pytest

from spleeter_microservice.settings import Settings
from tests.support.audio_files import RATE, encode_kind, noise

_REPOSITORY = Path(__file__).parents[2]
MISSING = """
import importlib.abc, os, signal, socket, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource", "pwd", "grp", "termios"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
import warnings; warnings.simplefilter("ignore")
import av, filelock, google_crc32c, httpx, numpy, onnx, onnxruntime, platformdirs, tqdm  # all are for Linux
for module, names in (
    (os, "chown fchmod fork geteuid getgid getuid killpg mkfifo pread sched_getaffinity setsid statvfs"),
    (signal, "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGXCPU pause setitimer"),
    (socket, "AF_UNIX"),
):
    for name in names.split():
        delattr(module, name)
from spleeter_microservice import Separator
from spleeter_microservice.cli.main import main
"""
USE = """
separator = Separator("2stems")
separator.separate_to_file(sys.argv[1], sys.argv[2])
assert main(["separate", "-p", "2stems", "-o", sys.argv[2] + "/cli", "-c", "mp3", sys.argv[1]]) == 0
"""


def run(script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MISSING + script, *arguments],
        # MISSING imports ONNX Runtime before the package, which turns its telemetry off.
        env=environ | {"PYTHONPATH": str(_REPOSITORY / "src"), "ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_songs_are_separated(tmp_path: Path, model_settings: Settings) -> None:
    clip = tmp_path / "clip.wav"
    encode_kind(clip, noise(RATE // 2), "s16.wav")
    done = run(USE, str(clip), str(tmp_path), SPLEETER_MODELS_DIR=str(model_settings.models_dir))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.rglob("*vocals*")} == {"vocals.wav", "vocals.mp3"}


@pytest.mark.parametrize("command", ["serve", "keys list"])
def test_the_service_says_in_one_line_where_it_runs(tmp_path: Path, command: str) -> None:
    settings = {
        "SPLEETER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "SPLEETER_DATA_DIR": str(tmp_path),
    }
    done = run(f"sys.exit(main({command.split()}))", **settings)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("Run the service on Linux or macOS, in WSL or in Docker.")
