"""A confined process's channel to its parent; see ``inference_process``.

This module imports nothing that starts threads: threads that exist before the sandbox would escape it.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.sandbox import framing
from spleeter_microservice.sandbox.confinement.policy import Sandbox
from spleeter_microservice.sandbox.framing import Message

# How ONNX Runtime, whose errors have no classes, reports that memory is exhausted.
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")


class Channel:
    """The channel to the parent; ends this process when the parent exits."""

    def __init__(self, descriptor: int) -> None:
        self._reader: BinaryIO = os.fdopen(descriptor, "rb", closefd=False)
        self._writer: BinaryIO = os.fdopen(descriptor, "wb", buffering=0, closefd=False)
        self._lock = threading.Lock()
        self._requests: queue.Queue[Message] = queue.Queue()

    def receive(self) -> Message:
        """Wait for the next message; not to be used after ``serve``."""
        header = self._reader.read(framing.HEADER.size)
        if len(header) < framing.HEADER.size:
            os._exit(0)
        return framing.decode(self._reader.read(framing.body_length(header)))

    def serve(self, ready: Message, answer: Callable[[Message], Message]) -> NoReturn:
        """Report that the process is ready, then answer requests one after another.

        Another thread collects the requests; it notices the parent's exit even during work.

        Args:
            ready: the report.
            answer: returns the answer to a request; any error that it raises becomes the answer.
        """

        def collect() -> None:
            while True:
                self._requests.put(self.receive())

        self.send(ready)
        threading.Thread(target=collect, name="requests", daemon=True).start()
        while True:
            try:
                message = answer(self._requests.get())
            except Exception as error:
                message = error_message(error)
            self.send(message)

    def send(self, message: Message) -> None:
        """Send a message; safe from any thread."""
        data = memoryview(framing.encode(message))
        with self._lock:
            while data:
                data = data[self._writer.write(data) or 0 :]


def error_message(error: BaseException) -> Message:
    """Return an error as a message: its class if it is one of this package's, and its text."""
    if _is_memory_error(error):
        return {"type": "error", "class": "JobMemoryLimitError", "message": ""}
    if isinstance(error, SpleeterError):
        return {"type": "error", "class": type(error).__name__, "message": str(error)[:2000]}
    trace = "".join(traceback.format_exception(error))[-2000:]
    return {"type": "error", "class": "", "message": f"{type(error).__name__}: {error}"[:500], "trace": trace}


def _is_memory_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(phrase in str(error) for phrase in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


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
