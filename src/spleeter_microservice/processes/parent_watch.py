"""Stops this process when the one that supervises it is gone."""

from __future__ import annotations

import os
import signal
import threading
import time

_HASTE_SECONDS = 0.5  # between being told to stop and to hasten


def watch(descriptor: int) -> None:
    """Stop as by two SIGTERMs, the second of which hastens, when a pipe's other end is closed.

    Args:
        descriptor: of the pipe's reading end, inherited from ``supervisor.Supervisor``.
    """
    os.set_inheritable(descriptor, False)

    def wait() -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_HASTE_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
