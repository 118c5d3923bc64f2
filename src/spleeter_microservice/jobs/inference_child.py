"""The inference process: holds the loaded networks and separates one file after the other.

Started by ``inference_process`` as ``python -m``. It first gives up what it has no use for, then
imports the engine, which starts threads; every message goes through one inherited descriptor.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import sys
import threading
from pathlib import Path
from typing import BinaryIO

from spleeter_microservice.jobs import frames
from spleeter_microservice.jobs.frames import Message
from spleeter_microservice.jobs.sandbox import Sandbox


class Channel:
    """The way to the slot; ends the process when the slot is gone."""

    def __init__(self, descriptor: int) -> None:
        self._reader: BinaryIO = os.fdopen(descriptor, "rb", closefd=False)
        self._writer: BinaryIO = os.fdopen(descriptor, "wb", buffering=0, closefd=False)
        self._lock = threading.Lock()
        self._requests: queue.Queue[Message] = queue.Queue()

    def receive(self) -> Message:
        """Wait for the next message, without ``listen``."""
        header = self._reader.read(frames.HEADER.size)
        if len(header) < frames.HEADER.size:
            os._exit(0)
        return frames.unpacked(self._reader.read(frames.body_length(header)))

    def listen(self) -> None:
        """Collect requests in another thread, which notices the slot's end during a separation too."""

        def collect() -> None:
            while True:
                self._requests.put(self.receive())

        threading.Thread(target=collect, name="requests", daemon=True).start()

    def next_request(self) -> Message:
        """Wait for a request."""
        return self._requests.get()

    def send(self, message: Message) -> None:
        """Send a message; any thread may."""
        data = memoryview(frames.packed(message))
        with self._lock:
            while data:
                data = data[self._writer.write(data) or 0 :]


def main(descriptor: int, parent: int) -> None:
    """Be the inference process until the slot closes its end."""
    faulthandler.enable()
    channel = Channel(descriptor)
    setup = channel.receive()
    box = Sandbox(
        readable=tuple(map(Path, setup["readable"])),
        writable=Path(setup["writable"]),
        file_size=setup["file_size"],
        open_files=setup["open_files"],
    )
    in_force = box.enter(parent)
    from spleeter_microservice.jobs import inference_engine  # noqa: PLC0415  (see above)

    inference_engine.run(channel, setup, in_force)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
