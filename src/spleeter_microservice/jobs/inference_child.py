"""The inference process: holds the loaded networks and separates one file after the other.

Started by ``inference_process`` as ``python -m``. It first gives up what it has no use for, then
imports the engine, which starts threads; every message goes through one inherited descriptor.
"""

from __future__ import annotations

import sys

from spleeter_microservice.jobs.channel import confine


def main(descriptor: int, parent: int) -> None:
    """Be the inference process until the slot closes its end."""
    channel, setup, in_force = confine(descriptor, parent)
    from spleeter_microservice.jobs import inference_engine  # noqa: PLC0415  (see above)

    inference_engine.run(channel, setup, in_force)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
