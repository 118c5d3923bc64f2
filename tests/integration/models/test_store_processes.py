"""A store stays consistent if processes are killed or change it at the same time."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spleeter_microservice.errors import ModelNotInstalledError
from spleeter_microservice.models.directory import ModelDirectory
from tests.support.http_servers import Server, content, serving, stall
from tests.support.tiny_store import NAME, archived, tiny_store
from tests.support.waiting import wait_until

_REPOSITORY = Path(__file__).parents[3]

PULL = """
import sys
from pathlib import Path
from tests.support.tiny_store import tiny_store
store = tiny_store(Path(sys.argv[1]), sys.argv[2])
"""
PULL_AND_REPORT = f"{PULL}\nprint(store.pull('tiny').folder)"
WAIT_AND_PULL = f"import logging\nlogging.basicConfig(level=logging.DEBUG)\n{PULL_AND_REPORT}"
STOP_IN_THE_MIDDLE = f"""{PULL}
import signal
from spleeter_microservice.separation.spleeter import unet_graph
def write(architecture, arrays, folder):
    (folder / "vocals.onnx").write_bytes(b"half")
    print("writing", flush=True)
    signal.pause()
unet_graph.write_networks = write
store.pull("tiny")
"""
LITTLE_SPACE = f"""{PULL}
import resource, signal
from spleeter_microservice.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    store.pull("tiny")
except OutputError as error:
    print(error)
"""


@contextlib.contextmanager
def running(script: str, store: Path, mirror: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(store), mirror],
        cwd=_REPOSITORY,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def contents(store: Path) -> list[str]:
    return sorted(path.name for path in (store / NAME).iterdir())


def assert_the_next_pull_installs_and_cleans_up(store: Path, mirror: Server) -> None:
    with pytest.raises(ModelNotInstalledError):
        tiny_store(store).find(NAME)
    model = tiny_store(store, mirror.url).pull(NAME)
    assert contents(store) == [model.folder.name, "manifest.json"]
    assert list((store / ".downloads").iterdir()) == []


def test_a_pull_killed_while_it_downloads_is_resumed_by_the_next(tmp_path: Path) -> None:
    released = threading.Event()
    with serving(stall(archived(), released), content(archived(), '"stalled"')) as mirror:
        part = tmp_path / ".downloads" / "tiny.tar.gz.part"
        with running(PULL_AND_REPORT, tmp_path, mirror.url) as process:
            wait_until(lambda: part.exists() and part.stat().st_size)
            process.send_signal(signal.SIGKILL)
            process.wait()
        arrived = part.stat().st_size
        released.set()
        assert_the_next_pull_installs_and_cleans_up(tmp_path, mirror)
    assert mirror.requests[1][1]["Range"] == f"bytes={arrived}-"


def test_a_pull_killed_while_it_writes_leaves_no_installed_model(tmp_path: Path) -> None:
    with serving(content(archived())) as mirror:
        with running(STOP_IN_THE_MIDDLE, tmp_path, mirror.url) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert any(name.startswith("files-") for name in contents(tmp_path))
        assert_the_next_pull_installs_and_cleans_up(tmp_path, mirror)


def test_the_second_of_two_pulls_at_once_waits_for_the_first(tmp_path: Path) -> None:
    released = threading.Event()
    with serving(stall(archived(), released)) as mirror:
        with (
            running(PULL_AND_REPORT, tmp_path, mirror.url) as one,
            running(PULL_AND_REPORT, tmp_path, mirror.url) as other,
        ):
            threading.Timer(0.5, released.set).start()
            outputs = {one.communicate()[0], other.communicate()[0]}
        folder = tiny_store(tmp_path).find(NAME).folder
        assert outputs == {f"{folder}\n"}
        assert len(mirror.requests) == 1


def test_a_full_disk_is_reported_and_nothing_is_left(tmp_path: Path) -> None:
    with (
        serving(content(archived())) as mirror,
        running(LITTLE_SPACE, tmp_path, mirror.url) as process,
    ):
        output, errors = process.communicate()
    assert "Cannot write the model into" in output, errors
    assert "SPLEETER_MODELS_DIR" in output
    assert contents(tmp_path) == []


def test_a_pull_that_waited_for_a_removal_installs_the_model_again(tmp_path: Path) -> None:
    with serving(content(archived())) as mirror, contextlib.ExitStack() as stack:
        directory = ModelDirectory(tmp_path / NAME, "")
        with directory.locked():
            process = stack.enter_context(running(WAIT_AND_PULL, tmp_path, mirror.url))
            assert process.stderr
            assert any("waiting" in line for line in process.stderr)
            directory.remove()
        assert process.communicate()[0] == f"{tiny_store(tmp_path).find(NAME).folder}\n"
