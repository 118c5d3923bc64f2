"""The command ``train`` as a process: it can be killed and resumed, saves on signals, and exports a model."""

import fnmatch
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spleeter_microservice.errors import ConfigurationError, TrainingDataError
from tests.support.documents import blocks
from tests.support.training_songs import INSTRUMENTS, write_configuration, write_songs

pytestmark = pytest.mark.slow

Result = subprocess.CompletedProcess[str]


class Command:
    """The program, run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # With networks this small, more threads only wait for each other.
        self.environment = os.environ | {"SPLEETER_MODELS_DIR": str(folder / "store"), "OMP_NUM_THREADS": "1"}

    def words(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "spleeter_microservice", *arguments]

    def __call__(self, *arguments: str) -> Result:
        return subprocess.run(
            self.words(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def until_saved(self, number: int, *arguments: str) -> tuple[int, str, str]:
        """Send a signal once the first checkpoint is written; return exit status, output and errors."""
        process = subprocess.Popen(
            self.words(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        output = ""
        while not output.rpartition("\n")[0].rpartition("\n")[2].startswith("step "):
            output += (line := process.stdout.readline())
            assert line, process.communicate()
        # A line is printed before its files are written, so wait for the next line.
        output += process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate()
        return process.returncode, output + rest, errors


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


FIRST = blocks("docs/training.md", "sh")[0]
_INSTALL, TRAIN, SEPARATE = (shlex.split(line)[1:] for line in FIRST.text.splitlines())


def state_of(output: str) -> int:
    match = re.search(r"resuming after step (\d+)", output)
    assert match, output
    return int(match[1])


def test_a_training_resumes_after_a_kill_and_a_signal_and_exports_a_model(
    command: Command, tmp_path: Path
) -> None:
    songs = write_songs(tmp_path / "songs")
    endless = {"model_dir": "my_model", "train_max_steps": 1_000_000, "save_checkpoints_steps": 3}
    write_configuration(tmp_path / "config.json", **endless)
    status, output, _ = command.until_saved(signal.SIGKILL, *TRAIN)
    assert status == -signal.SIGKILL
    assert "starting: 6 chunks, on cpu in single precision" in output

    status, output, errors = command.until_saved(signal.SIGTERM, *TRAIN, "--validation", "songs")
    assert status == 128 + signal.SIGTERM
    assert state_of(output) >= 3
    assert "Traceback" not in errors
    (last,) = re.findall(r"step (\d+) of 1000000", output)[-1:]
    assert "validation" in output

    write_configuration(tmp_path / "config.json", **endless | {"train_max_steps": int(last) + 1})
    done = command(*TRAIN, "--validation", "songs")
    assert done.returncode == 0, done.stderr
    assert state_of(done.stdout) == int(last)
    assert "Model written to my_model/config.json" in done.stdout
    assert json.loads((tmp_path / "my_model" / "training.json").read_text())["step"] == int(last) + 1

    (songs / "song 0" / "mixture.wav").rename(tmp_path / "song.wav")
    separated = command(*SEPARATE)
    assert separated.returncode == 0, separated.stderr
    assert {path.stem for path in (tmp_path / "separated_audio" / "song").iterdir()} == set(INSTRUMENTS)
    (tree,) = blocks("docs/training.md", "text")
    documented = [re.sub(r"\d+", "*", line.split()[0]).rstrip("/") for line in tree.text.splitlines()]
    written = [str(path.relative_to(tmp_path)) for path in (tmp_path / "my_model").iterdir()]
    assert all(fnmatch.filter(written, pattern) for pattern in documented), written
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in documented) for name in written), written


def test_an_error_is_one_line_with_an_exit_status_of_its_own(command: Command, tmp_path: Path) -> None:
    write_configuration(tmp_path / "config.json", batch_sise=3)
    unknown = command(*TRAIN)
    assert unknown.returncode == ConfigurationError.exit_status
    assert unknown.stderr.startswith("Error: The configuration config.json has unknown keys: 'batch_sise'")
    assert unknown.stderr.count("\n") == 1

    write_configuration(tmp_path / "config.json", train_csv="train.csv")
    (tmp_path / "train.csv").write_text("mix_path,vocals_path,accompaniment_path,duration\na.wav,b.wav,,3\n")
    (tmp_path / "songs").mkdir()
    missing = command(*TRAIN)
    assert missing.returncode == TrainingDataError.exit_status
    assert "train.csv, line 2: the file songs/a.wav (column mix_path) does not exist" in missing.stderr
    assert missing.stderr.count("\n") == 1
