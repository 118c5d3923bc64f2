"""The probing process: looks into one file after the other, and can write none.

Started by ``inference_process`` as ``python -m``, and confined before it imports what decodes.
"""

from __future__ import annotations

import sys

from spleeter_microservice.sandbox.channel import confine


def main(descriptor: int, parent: int) -> None:
    """Be the probing process until the prober closes its end."""
    channel, _, in_force = confine(descriptor, parent)
    from spleeter_microservice.sandbox import probe_engine  # noqa: PLC0415  (see above)

    probe_engine.run(channel, in_force)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
