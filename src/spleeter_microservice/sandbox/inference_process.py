"""One confined process, seen from its starter: started, talked to, watched and killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.errors import (
    InferenceCrashedError,
    InferenceError,
    JobTimeLimitError,
)
from spleeter_microservice.sandbox import framing
from spleeter_microservice.sandbox.confinement.policy import environment
from spleeter_microservice.sandbox.framing import Message

INFERENCE = "spleeter_microservice.sandbox.inference_child"
_PAGE_BYTES = resource.getpagesize()
_TAIL_BYTES = 4000
_BUFFER_BYTES = 1 << 16
_POLL_SECONDS = 0.005
# What is mapped is more than what is used; beyond this, memory is refused before the watch sees it.
_SPARE_BYTES = 512 << 20
_SPARE_SECONDS = 10


@dataclass(frozen=True)
class Usage:
    """What a process uses: resident memory in bytes, threads, and processor time in seconds."""

    memory: int
    threads: int
    processor: float


class InferenceProcess:
    """A process that runs a module of ours, and waits for its setup as the first message.

    Args:
        work_folder: where it runs.
        environ: of which it gets what it needs.
        module: that it runs, see ``channel.confine``.

    Attributes:
        pid: its number.
        verdict: why it was killed, if this side did it; the first reason stands.
    """

    def __init__(self, work_folder: Path, environ: Mapping[str, str], module: str = INFERENCE) -> None:
        self.verdict: InferenceError | None = None
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._errors, errors = os.pipe()
        os.set_blocking(self._errors, False)
        with theirs, os.fdopen(errors, "wb") as standard_error:
            # Not asyncio's own processes: those are lost when their start is cancelled, and need a
            # thread to wait for their end. This takes some milliseconds, without a copy of memory.
            self._process = subprocess.Popen(  # noqa: S603  (of this program's own)
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=environment(environ, work_folder),
                cwd=work_folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=standard_error,
                start_new_session=True,  # Ctrl-C is the slot's business
            )
        self.pid = self._process.pid
        self._tail = b""
        self._reader = asyncio.StreamReader(limit=_BUFFER_BYTES)
        self._writer: asyncio.StreamWriter | None = None
        asyncio.get_running_loop().add_reader(self._errors, self._collect)

    async def connect(self) -> None:
        """Make ready to send and receive."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._ours, limit=_BUFFER_BYTES)

    @property
    def alive(self) -> bool:
        """Whether it runs, and nobody has killed it."""
        return self.verdict is None and self._process.poll() is None

    def send(self, message: Message) -> None:
        """Send a message; one to a process that has ended is lost."""
        assert self._writer is not None, "connect first"
        self._writer.write(framing.encode(message))

    async def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            InferenceError: when the process ends instead, saying why.
            ProtocolError: when what comes is no message.
        """
        try:
            header = await self._reader.readexactly(framing.HEADER.size)
            body = await self._reader.readexactly(framing.body_length(header))
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.wait()
            raise self.exit_reason() from None
        return framing.decode(body)

    def exit_reason(self) -> InferenceError:
        """Say why the process has ended."""
        if self.verdict is not None:
            return self.verdict
        code = self._process.poll() or 0
        if code == -signal.SIGXCPU:
            return JobTimeLimitError("The job took more processor time than it may.")
        if code >= 0:
            return InferenceCrashedError(f"The inference process ended with status {code}.")
        name = signal.Signals(-code).name
        hint = " Perhaps the machine has no memory left." if code == -signal.SIGKILL else ""
        return InferenceCrashedError(f"The inference process was ended by {name}.{hint}", signal=-code)

    @property
    def stderr_tail(self) -> str:
        """The end of what the process wrote to its standard error, for the log."""
        text = self._tail.decode(errors="replace").strip()
        return f" Its last words: {text}" if text else ""

    def usage(self) -> Usage | None:
        """Tell what the process uses, or None when it has ended or the system does not say."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        # Fields are counted from behind the name, which may hold anything: see proc(5).
        fields = text.rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return Usage(int(fields[21]) * _PAGE_BYTES, int(fields[17]), ticks / os.sysconf("SC_CLK_TCK"))

    def limit_memory(self, most_bytes: int) -> None:
        """Have the kernel refuse what goes far beyond the limit, between two looks of the watch."""
        usage = self.usage()
        if usage is not None:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
            mapped = next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmData" in line)
            most = mapped + max(0, most_bytes - usage.memory) + _SPARE_BYTES
            resource.prlimit(self.pid, resource.RLIMIT_DATA, (most, most))

    def limit_processor_time(self, seconds: float) -> None:
        """Have the kernel end it after so much more processor time, should this side be stuck."""
        usage = self.usage()
        if usage is not None:
            soft = int(usage.processor + seconds) + _SPARE_SECONDS
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.pid, resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))

    def kill(self, verdict: InferenceError) -> None:
        """End the process at once, and whatever it has started."""
        self.verdict = self.verdict or verdict
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Wait until the process has ended, and let go of it."""
        while self._process.poll() is None:
            await asyncio.sleep(_POLL_SECONDS)
        if self._writer is not None:
            self._writer.close()
        self._ours.close()
        if self._errors >= 0:
            self._collect()
            self._close_errors()

    def _collect(self) -> None:
        """Keep the end of what the process writes to its standard error."""
        with contextlib.suppress(BlockingIOError):
            if data := os.read(self._errors, 1 << 16):
                self._tail = (self._tail + data)[-_TAIL_BYTES:]
            else:
                self._close_errors()

    def _close_errors(self) -> None:
        if self._errors >= 0:
            asyncio.get_running_loop().remove_reader(self._errors)
            os.close(self._errors)
            self._errors = -1
