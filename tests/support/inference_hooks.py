"""Code that runs in a real inference process once it is confined."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_HOOK = """
import pathlib
from spleeter_microservice.sandbox.confinement import policy

def enter(self, parent, original=policy.Sandbox.enter):
    in_force = original(self, parent)
    exec(pathlib.Path(__file__).with_name("hook.py").read_text(), {"parent": parent})
    return in_force

policy.Sandbox.enter = enter
"""

BUSY_READER = """
from spleeter_microservice.audio import reader

def busy(path, **options):
    while True:
        pass

reader.AudioReader = busy
"""
"""Code with which a process never gets beyond opening a file, and uses a whole core."""


def run_in_process(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make inference processes that start from now on run this code.

    It runs after the process has confined itself and before it loads the engine. The name ``parent``
    holds the parent's PID; the current directory is the work folder.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HOOK)
    (folder / "hook.py").write_text(code)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{before}" if before else str(folder))
