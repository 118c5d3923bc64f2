"""The command line, in the process of the tests or as one of its own."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from spleeter_microservice.cli.main import main
from tests.support.random_models import write_configured
from tests.support.separate_command import Command, Run

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Result]]:
    """Runs a command in this process, with settings of its own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str | Path, **settings: str) -> Result:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        words = [*map(str, arguments)]
        try:
            status = main(words)
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
        return Result(words, status, *capsys.readouterr())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file in Spleeter's format, beside its checkpoint of random weights."""
    return write_configured(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def command_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment, with a store of models of its own."""
    return os.environ | {"SPLEETER_MODELS_DIR": str(tmp_path_factory.mktemp("store"))}


@pytest.fixture
def separate(tiny_model: Path, command_environment: dict[str, str], tmp_path: Path) -> Command:
    return Command(tiny_model, command_environment, tmp_path)


@pytest.fixture
def here(separate: Command, inside: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, for what needs none of its own."""
    monkeypatch.chdir(separate.folder)
    store = separate.environment["SPLEETER_MODELS_DIR"]
    return partial(inside, *separate.words[3:], SPLEETER_MODELS_DIR=store)
