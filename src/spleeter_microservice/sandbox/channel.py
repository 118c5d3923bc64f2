"""A confined process's way to whoever started it; see ``inference_process``.

Nothing is imported that starts threads: those that exist before the sandbox would escape it.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import threading
from pathlib import Path
from typing import BinaryIO

from spleeter_microservice.sandbox import framing
from spleeter_microservice.sandbox.confinement.policy import Sandbox
from spleeter_microservice.sandbox.framing import Message


class Channel:
    """The way to the starter; ends the process when that one is gone."""

    def __init__(self, descriptor: int) -> None:
        self._reader: BinaryIO = os.fdopen(descriptor, "rb", closefd=False)
        self._writer: BinaryIO = os.fdopen(descriptor, "wb", buffering=0, closefd=False)
        self._lock = threading.Lock()
        self._requests: queue.Queue[Message] = queue.Queue()

    def receive(self) -> Message:
        """Wait for the next message, without ``listen``."""
        header = self._reader.read(framing.HEADER.size)
        if len(header) < framing.HEADER.size:
            os._exit(0)
        return framing.decode(self._reader.read(framing.body_length(header)))

    def listen(self) -> None:
        """Collect requests in another thread, which notices the starter's end during work too."""

        def collect() -> None:
            while True:
                self._requests.put(self.receive())

        threading.Thread(target=collect, name="requests", daemon=True).start()

    def next_request(self) -> Message:
        """Wait for a request."""
        return self._requests.get()

    def send(self, message: Message) -> None:
        """Send a message; any thread may."""
        data = memoryview(framing.encode(message))
        with self._lock:
            while data:
                data = data[self._writer.write(data) or 0 :]


def confine(descriptor: int, parent: int) -> tuple[Channel, Message, list[str]]:
    """Read the setup, give up what the process has no use for, and tell what is in force.

    Args:
        descriptor: of the inherited socket.
        parent: number of the process with which this one is to die.
    """
    faulthandler.enable()
    channel = Channel(descriptor)
    setup = channel.receive()
    box = Sandbox(
        readable=tuple(map(Path, setup["readable"])),
        writable=tuple(map(Path, setup["writable"])),
        file_size=setup["file_size"],
        open_files=setup["open_files"],
    )
    return channel, setup, box.enter(parent)
