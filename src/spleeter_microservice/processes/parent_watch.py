"""A watch that stops this process when its supervisor has exited."""

from __future__ import annotations

import os
import signal
import threading
import time

_SECOND_SIGNAL_SECONDS = 0.5  # after the first


def watch(descriptor: int) -> None:
    """Stop this process when the other end of a pipe is closed.

    It receives SIGTERM twice; the second one shortens its shutdown.

    Args:
        descriptor: reading end of the pipe, inherited from ``supervisor.Supervisor``.
    """
    os.set_inheritable(descriptor, False)

    def wait() -> None:
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SECOND_SIGNAL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
