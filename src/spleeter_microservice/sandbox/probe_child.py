"""The probing process: it inspects one file after another and cannot write.

``inference_process`` starts it with ``python -m``. It enters the sandbox before it imports a decoder.
"""

from __future__ import annotations

import sys

from spleeter_microservice.sandbox.channel import confine


def main(descriptor: int, parent: int) -> None:
    """Run the probing process until the prober closes its end of the socket."""
    channel, _, in_force = confine(descriptor, parent)
    from spleeter_microservice.sandbox import probe_engine  # noqa: PLC0415  (see above)

    probe_engine.run(channel, in_force)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
