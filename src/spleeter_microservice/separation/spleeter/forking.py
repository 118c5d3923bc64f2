"""Calls into ONNX Runtime, none of which is in progress while this process forks.

A forked process has only the thread that forked. If another thread held a lock of ONNX Runtime at that
moment, nothing would ever release it there, and the forked process would hang at its first call.
"""

from __future__ import annotations

import os
import threading
from typing import Self


class Calls:
    """Counts the calls in progress, as a context manager around each; a fork waits until there are none."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin with no call in progress, as in a forked process."""
        self._changed = threading.Condition()
        self._in_progress = 0
        self._forking = False

    def __enter__(self) -> Self:
        with self._changed:
            self._changed.wait_for(lambda: not self._forking)
            self._in_progress += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._in_progress -= 1
            self._changed.notify_all()

    def before_fork(self) -> None:
        """Wait for the calls in progress, and hold up others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._forking)  # another thread's fork
            self._forking = True
            self._changed.wait_for(lambda: not self._in_progress)

    def after_fork(self) -> None:
        """Allow calls again in the process that forked."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()


CALLS = Calls()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=CALLS.before_fork, after_in_parent=CALLS.after_fork, after_in_child=CALLS.begin
    )
