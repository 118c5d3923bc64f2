"""The command line in the process of the tests."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spleeter_microservice.cli.main import main

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
