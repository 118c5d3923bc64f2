"""The inference process: it keeps a model loaded and separates one file after another.

``inference_process`` starts it with ``python -m``. It enters the sandbox before it imports the engine,
which starts threads. All messages pass through one inherited socket.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from spleeter_microservice.sandbox.channel import confine

NICENESS = 5
"""Niceness of the process, which uses all processor time that it gets: requests come first."""


def main(descriptor: int, parent: int) -> None:
    """Run the inference process until the slot closes its end of the socket."""
    _lower_priority()
    channel, setup, in_force = confine(descriptor, parent)
    from spleeter_microservice.sandbox import inference_engine  # noqa: PLC0415  (see above)

    inference_engine.run(channel, setup, in_force)


def _lower_priority() -> None:
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # with autogrouping, niceness applies within a session only
        Path("/proc/self/autogroup").write_text(f"{NICENESS}\n", encoding="ascii")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
