"""Code that is run in a real inference process, once it is confined."""

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


def run_in_process(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have inference processes that are started from now on run this code.

    It is run after the process has given everything up and before it loads the engine, with the
    number of its parent as ``parent``; its current folder is the work folder.
    """
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_HOOK)
    (folder / "hook.py").write_text(code)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{before}" if before else str(folder))
