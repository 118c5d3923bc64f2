"""The inference process: holds the loaded networks and separates one file after the other.

Started by ``inference_process`` as ``python -m``. It first gives up what it has no use for, then
imports the engine, which starts threads; every message goes through one inherited descriptor.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from spleeter_microservice.sandbox.channel import confine

NICENESS = 5
"""Of the process, which takes all the processor time that there is: whoever answers requests goes first."""


def main(descriptor: int, parent: int) -> None:
    """Be the inference process until the slot closes its end."""
    _give_way()
    channel, setup, in_force = confine(descriptor, parent)
    from spleeter_microservice.sandbox import inference_engine  # noqa: PLC0415  (see above)

    inference_engine.run(channel, setup, in_force)


def _give_way() -> None:
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # where Linux shares out time by session, niceness counts within one
        Path("/proc/self/autogroup").write_text(f"{NICENESS}\n", encoding="ascii")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
