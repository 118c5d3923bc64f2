"""A confined process's channel to its parent; see ``inference_process``.

This module imports nothing that starts threads: threads that exist before the sandbox would escape it.
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
    """The channel to the parent; ends this process when the parent exits."""

    def __init__(self, descriptor: int) -> None:
        self._reader: BinaryIO = os.fdopen(descriptor, "rb", closefd=False)
        self._writer: BinaryIO = os.fdopen(descriptor, "wb", buffering=0, closefd=False)
        self._lock = threading.Lock()
        self._requests: queue.Queue[Message] = queue.Queue()

    def receive(self) -> Message:
        """Wait for the next message; not to be used after ``listen``."""
        header = self._reader.read(framing.HEADER.size)
        if len(header) < framing.HEADER.size:
            os._exit(0)
        return framing.decode(self._reader.read(framing.body_length(header)))

    def listen(self) -> None:
        """Collect requests in another thread, which notices the parent's exit even during work."""

        def collect() -> None:
            while True:
                self._requests.put(self.receive())

        threading.Thread(target=collect, name="requests", daemon=True).start()

    def next_request(self) -> Message:
        """Wait for a request."""
        return self._requests.get()

    def send(self, message: Message) -> None:
        """Send a message; safe from any thread."""
        data = memoryview(framing.encode(message))
        with self._lock:
            while data:
                data = data[self._writer.write(data) or 0 :]


def confine(descriptor: int, parent: int) -> tuple[Channel, Message, list[str]]:
    """Read the setup message and enter the sandbox that it describes.

    Args:
        descriptor: file descriptor of the inherited socket.
        parent: PID of the process with which this one must die.

    Returns:
        the channel, the setup message, and the sandbox ``MEASURES`` in force.
    """
    faulthandler.enable()
    channel = Channel(descriptor)
    setup = channel.receive()
    sandbox = Sandbox(
        readable=tuple(map(Path, setup["readable"])),
        writable=tuple(map(Path, setup["writable"])),
        file_size=setup["file_size"],
        open_files=setup["open_files"],
    )
    return channel, setup, sandbox.enter(parent)
