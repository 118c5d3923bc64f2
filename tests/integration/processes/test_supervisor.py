"""Real programs are kept running, restarted when they exit, and stopped together."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from spleeter_microservice.processes.supervisor import Program, RestartPolicy, Supervisor
from tests.support.waiting import eventually, still

pytestmark = pytest.mark.asyncio

_REPOSITORY = Path(__file__).parents[3]
QUICK = RestartPolicy(drain=3.0, first_pause=0.05, last_pause=0.2, upkeep=0.05, stopped=0.2)
# Stands in for the command line: notes its process id, and does what the test wants.
_STUB = """
import os, pathlib, signal, sys
folder, deed = pathlib.Path(os.environ["FOLDER"]), sys.argv[1]
if deed == "deaf": signal.signal(signal.SIGTERM, signal.SIG_IGN)
from spleeter_microservice.processes import parent_watch
parent_watch.watch(int(sys.argv[sys.argv.index("--lifeline") + 1]))
with (folder / deed).open("a") as log: log.write(f"{os.getpid()}\\n")
if deed == "short" or deed == "fickle" and len((folder / deed).read_text().split()) > 1: sys.exit(3)
signal.pause()
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Program]:
    """Return a function that makes programs whose ``spleeter_microservice.__main__`` is the stub."""
    package = tmp_path / "package" / "spleeter_microservice"
    package.mkdir(parents=True)
    for path in (_REPOSITORY / "src" / "spleeter_microservice").iterdir():
        if path.name not in ("__main__.py", "__pycache__"):
            (package / path.name).symlink_to(path)
    (package / "__main__.py").write_text(_STUB)
    environ = os.environ | {"PYTHONPATH": str(package.parent), "FOLDER": str(tmp_path)}

    def make(deed: str) -> Program:
        return Program(deed, [deed], environ)

    return make


def starts(folder: Path, deed: str) -> list[int]:
    log = folder / deed
    return [int(line) for line in log.read_text().split()] if log.exists() else []


async def started(folder: Path, deed: str, count: int) -> list[int]:
    await eventually(lambda: len(starts(folder, deed)) >= count)
    return starts(folder, deed)


def runs(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def at_work(supervisor: Supervisor) -> AsyncIterator[asyncio.Task[int]]:
    running = asyncio.create_task(supervisor.run())
    try:
        yield running
    finally:
        supervisor.stop()
        await running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_program_that_is_killed_or_stopped_is_restarted_and_reported(
    program: Callable[[str], Program], tmp_path: Path, number: signal.Signals
) -> None:
    exits: list[tuple[int, str]] = []

    async def on_exit(pid: int, reason: str) -> None:
        exits.append((pid, reason))
        raise OSError("the supervisor must survive this")

    async with at_work(Supervisor([program("long")], on_exit=on_exit, restarts=QUICK)):
        (first,) = await started(tmp_path, "long", 1)
        os.kill(first, number)
        assert len(await started(tmp_path, "long", 2)) == 2
    assert exits == [(first, "long_killed")]


async def test_a_program_that_cannot_be_started_now_is_started_later(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    exits: list[str] = []

    async def on_exit(_: int, reason: str) -> None:
        exits.append(reason)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no interpreter"))
        async with at_work(Supervisor([program("long")], on_exit=on_exit, restarts=QUICK)):
            await eventually(lambda: len(exits) > 1)
            patch.undo()
            await started(tmp_path, "long", 1)


async def test_pauses_grow_before_a_program_that_keeps_exiting_is_restarted(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    restarts = RestartPolicy(drain=3.0, first_pause=0.2, last_pause=60.0)
    async with at_work(Supervisor([program("short")], restarts=restarts)):
        await started(tmp_path, "short", 3)
        await still(lambda: len(starts(tmp_path, "short")) == 3)


async def test_a_program_that_can_never_start_ends_all_and_one_that_started_before_is_restarted(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    programs = [program("long"), program("short")]
    assert await Supervisor(programs, restarts=QUICK, hopeless={3}).run() == 3
    assert len(starts(tmp_path, "short")) == 1
    async with at_work(Supervisor([program("fickle")], restarts=QUICK, hopeless={3})):
        (first,) = await started(tmp_path, "fickle", 1)
        os.kill(first, signal.SIGKILL)
        await started(tmp_path, "fickle", 3)


async def test_stopping_ends_all_programs_and_kills_those_that_ignore_it(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    async with at_work(Supervisor([program("long"), program("deaf")], restarts=QUICK)):
        pids = [*await started(tmp_path, "long", 1), *await started(tmp_path, "deaf", 1)]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_upkeep_is_repeated_even_if_it_fails(program: Callable[[str], Program]) -> None:
    rounds = 0

    async def upkeep() -> None:
        nonlocal rounds
        rounds += 1
        raise OSError("not now")

    async with at_work(Supervisor([program("long")], upkeep, restarts=QUICK)):
        await eventually(lambda: rounds >= 3)


async def test_programs_stop_when_their_supervisor_is_killed(
    program: Callable[[str], Program], tmp_path: Path
) -> None:
    script = (
        "import asyncio, os; from spleeter_microservice.processes.supervisor import *;"
        "asyncio.run(Supervisor([Program('long', ['long'], dict(os.environ))]).run())"
    )
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=dict(program("long").environ)
    )
    (pid,) = await started(tmp_path, "long", 1)
    supervisor.kill()
    await supervisor.wait()
    await eventually(lambda: not runs(pid))
