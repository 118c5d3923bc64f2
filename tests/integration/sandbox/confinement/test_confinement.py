"""An inference process cannot do what it does not need, as tried in a real one."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.errors import InferenceCrashedError
from spleeter_microservice.sandbox.confinement.policy import MEASURES, environment
from spleeter_microservice.sandbox.inference import InferenceSlot, Limits
from spleeter_microservice.sandbox.messages import InferenceModel
from tests.support.inference_hooks import run_in_process
from tests.support.inference_models import request_for, song

FILE_SIZE = 4 << 20
OPEN_FILES = 64

_PROBES = """
import ctypes, json, os, pathlib, resource, signal, socket, subprocess, threading

libc = ctypes.CDLL(None, use_errno=True)
outside = pathlib.Path({outside!r})

def system_call(*arguments):
    if libc.syscall(*map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def try_in_a_thread(action):
    results = []
    thread = threading.Thread(target=lambda: results.append(outcome(action)))
    thread.start()
    thread.join()
    return results[0]

def write_too_much():
    with open("large", "wb") as file:
        file.write(bytes({file_size} + 1))

def open_too_many():
    files = [open("many", "w") for _ in range({open_files})]

def outcome(action):
    try:
        value = action()
    except OSError as error:
        return error.errno
    except ValueError:  # what Python makes of EPERM where limits are set
        return 1
    return value if isinstance(value, str | int) else "done"

inet = lambda: socket.socket(socket.AF_INET)
probes = {{
    "socket IPv4": inet,
    "socket IPv4 in a thread": lambda: try_in_a_thread(inet),
    "socket IPv6": lambda: socket.socket(socket.AF_INET6),
    "socket UDP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "socket Unix": lambda: socket.socket(socket.AF_UNIX),
    "socket netlink": lambda: socket.socket(socket.AF_NETLINK),
    "socketpair": socket.socketpair,
    "io_uring": lambda: system_call(425, 8, 0),
    "fork": os.fork,
    "a program": lambda: subprocess.run(["/bin/true"]),
    "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {{}}),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "secret variable": lambda: os.environ.get("SPLEETER_DATABASE_URL", "") + os.environ.get("AWS_KEY", ""),
    "secret in the C library": lambda: str(b"hunter2" in open("/proc/self/environ", "rb").read()),
    "parent's environment": lambda: open(f"/proc/{{parent}}/environ", "rb").read(),
    "parent's memory": lambda: open(f"/proc/{{parent}}/mem", "rb").read(),
    "ptrace": lambda: system_call(101 if os.uname().machine == "x86_64" else 117, 16, parent, 0, 0),
    "signal to the parent": lambda: os.kill(parent, 0),
    "signal to everyone": lambda: os.kill(-1, 0),
    "a secret file": lambda: (outside / "secret").read_text(),
    "the passwords": lambda: open("/etc/shadow").read(),
    "the folder outside": lambda: os.listdir(outside),
    "write outside": lambda: (outside / "new").write_text("x"),
    "write in the model": lambda: (pathlib.Path({model!r}) / "new").write_text("x"),
    "delete outside": lambda: (outside / "secret").unlink(),
    "a device": lambda: open("/dev/kmsg"),
    "symbolic link": lambda: os.symlink(outside / "secret", "link"),
    "hard link": lambda: os.link(outside / "secret", "hard"),
    "named pipe": lambda: os.mkfifo("pipe"),
    "large file": write_too_much,
    "many files": open_too_many,
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40)),
    "lower a limit": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)),
    "read a limit": lambda: resource.getrlimit(resource.RLIMIT_FSIZE)[0],
    "limit of core": lambda: resource.getrlimit(resource.RLIMIT_CORE)[1],
    "limit of tasks": lambda: resource.getrlimit(resource.RLIMIT_NPROC)[1],
    "namespace": lambda: system_call(272 if os.uname().machine == "x86_64" else 97, 0x10000000),
    "change of root": lambda: os.chroot("."),
    "another's file": lambda: os.chown("mine", 12345, 12345),
    "write in the work folder": lambda: pathlib.Path("mine").write_text("x"),
    "make a folder there": lambda: os.mkdir("folder"),
    "rename there": lambda: os.rename("mine", "folder/../yours"),
    "thread": lambda: try_in_a_thread(lambda: "runs"),
    "own signal": lambda: os.kill(os.getpid(), 0),
}}
order = sorted(probes, key=lambda name: name != "write in the work folder")
pathlib.Path("outcomes.json").write_text(json.dumps({{name: outcome(probes[name]) for name in order}}))
"""

REFUSED = [
    *("socket IPv4", "socket IPv4 in a thread", "socket IPv6", "socket UDP", "socket Unix"),
    *("socket netlink", "socketpair", "io_uring", "fork", "a program", "posix_spawn", "exec"),
    *("parent's environment", "parent's memory", "ptrace", "signal to the parent", "signal to everyone"),
    *("a secret file", "the passwords", "the folder outside", "write outside", "write in the model"),
    *("delete outside", "a device", "symbolic link", "hard link", "named pipe", "raise a limit"),
    *("lower a limit", "namespace", "change of root"),
]
NEEDED = ["write in the work folder", "make a folder there", "thread", "own signal"]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines processes so"),
]


class Seen:
    """What a probed process could do, and what the kernel says of it."""

    def __init__(self, outcomes: dict[str, Any], status: dict[str, str], limits: str, in_force: list[str]):
        self.outcomes, self.status, self.limits, self.in_force = outcomes, status, limits, in_force


@pytest.fixture(scope="module")
def seen(tiny: InferenceModel, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("hunter2")
    work = tmp_path_factory.mktemp("work")
    code = _PROBES.format(
        outside=str(outside), model=str(tiny.files.directory), file_size=FILE_SIZE, open_files=OPEN_FILES
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SPLEETER_DATABASE_URL", "postgresql://me:hunter2@db/spleeter")
        monkeypatch.setenv("AWS_KEY", "hunter2")
        run_in_process(code, tmp_path_factory.mktemp("hook"), monkeypatch)
        seen = asyncio.run(_seen(tiny, work))
    assert (outside / "secret").read_text() == "hunter2"
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    if set(seen.in_force) != set(MEASURES):
        pytest.skip(f"this kernel confines processes by {', '.join(seen.in_force)} alone")
    return seen


async def _seen(tiny: InferenceModel, work: Path) -> Seen:
    limits = Limits(file_size=FILE_SIZE, open_files=OPEN_FILES, memory=1 << 30)
    async with InferenceSlot(tiny, work, limits=limits) as slot:
        proc = Path(f"/proc/{slot.pid}")
        lines = (proc / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        outcomes = json.loads((work / "outcomes.json").read_text())
        return Seen(outcomes, status, (proc / "limits").read_text(), slot.in_force)


@pytest.mark.parametrize("probe", REFUSED)
def test_a_process_may_not(seen: Seen, probe: str) -> None:
    assert seen.outcomes[probe] in (1, 13, 18), "EPERM, EACCES or EXDEV"


@pytest.mark.parametrize("probe", NEEDED)
def test_a_process_may(seen: Seen, probe: str) -> None:
    assert seen.outcomes[probe] in ("done", "runs", 1), probe


def test_no_secret_is_in_the_environment(seen: Seen) -> None:
    assert seen.outcomes["secret variable"] == ""
    assert seen.outcomes["secret in the C library"] == "False"


def test_a_choice_of_arithmetic_kernels_holds_in_the_process_too(tmp_path: Path) -> None:
    chosen = {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}
    assert chosen.items() <= environment(chosen | {"SECRET": "1"}, tmp_path).items()


def test_files_are_limited_in_size_and_number(seen: Seen) -> None:
    assert seen.outcomes["large file"] == 27, "EFBIG"
    assert seen.outcomes["many files"] == 24, "EMFILE"
    assert seen.outcomes["read a limit"] == FILE_SIZE
    assert seen.outcomes["limit of core"] == 0


def test_the_number_of_processes_is_limited(seen: Seen) -> None:
    """Nobody may fork; besides, the kernel bounds the tasks of every user but root."""
    assert seen.outcomes["fork"] == 1
    if os.geteuid() != 0:
        assert seen.outcomes["limit of tasks"] < resource.getrlimit(resource.RLIMIT_NPROC)[1]


def test_the_kernel_limits_memory_and_processor_time_too(seen: Seen) -> None:
    line = next(line for line in seen.limits.splitlines() if line.startswith("Max data size"))
    assert 1 << 30 < int(line.split()[3]) < 3 << 30


def test_the_kernel_confirms_the_restrictions(seen: Seen) -> None:
    assert seen.status["NoNewPrivs"] == "1"
    assert seen.status["Seccomp"] == "2"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(seen.status[kind], 16) == 0


def test_the_slot_knows_every_measure_in_force(seen: Seen) -> None:
    assert seen.in_force == list(MEASURES)


@pytest.mark.asyncio
async def test_too_many_threads_end_the_process(tiny: InferenceModel, tmp_path: Path) -> None:
    async with InferenceSlot(tiny, tmp_path, limits=Limits(threads=3)) as slot:
        with pytest.raises(InferenceCrashedError, match="threads"):
            await slot.separate(request_for(song(tmp_path, 60), tiny))


@pytest.mark.asyncio
async def test_the_measures_in_force_are_logged(
    tiny: InferenceModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "spleeter_microservice.sandbox"):
        async with InferenceSlot(tiny, tmp_path):
            pass
    (record,) = [record for record in caplog.records if record.getMessage() == "inference process ready"]
    assert vars(record)["in_force"] == list(MEASURES)
