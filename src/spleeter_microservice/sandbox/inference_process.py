"""A confined child process: started, messaged, monitored and killed by its parent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from spleeter_microservice import errors
from spleeter_microservice.sandbox import framing
from spleeter_microservice.sandbox.bounds import Bounds, limit_memory, usage_of
from spleeter_microservice.sandbox.confinement.policy import environment
from spleeter_microservice.sandbox.framing import Message, ProtocolError

logger = logging.getLogger(__name__)

HARMLESS = (errors.AudioError, errors.ModelError, errors.ConfigurationError)
"""Errors that a process may report about a file and then go on as before."""
INFERENCE = "spleeter_microservice.sandbox.inference_child"
_TAIL_BYTES = 4000
_BUFFER_BYTES = 1 << 16
_POLL_SECONDS = 0.005
_WATCH_SECONDS = 0.1
_LONGEST_TICK = 1.0  # seconds; whatever paused this process for longer has probably paused its child as well
_DYING_SECONDS = 10.0  # a process that waits for a file system that hangs cannot even be killed


class InferenceProcess:
    """A process that runs one of our modules and expects a setup message first.

    Args:
        work_folder: its current directory.
        module: module to run; see ``channel.confine``.

    Attributes:
        pid: its PID.
        verdict: why this side killed it, if it did; the first reason stands.
    """

    def __init__(self, work_folder: Path, module: str = INFERENCE) -> None:
        self.verdict: errors.InferenceError | None = None
        self._name = "inference" if module == INFERENCE else "probing"
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._errors, written = os.pipe()
        os.set_blocking(self._errors, False)
        with theirs, os.fdopen(written, "wb") as standard_error:
            # Not asyncio's subprocesses: they are lost if their start is cancelled, and need a thread to
            # wait for them. Popen blocks for a few milliseconds and does not copy memory.
            self._process = subprocess.Popen(  # noqa: S603  (a module of this program)
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=environment(os.environ, work_folder),
                cwd=work_folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=standard_error,
                start_new_session=True,  # the slot handles Ctrl-C
            )
        self.pid = self._process.pid
        self._tail = b""
        self._reader = asyncio.StreamReader(limit=_BUFFER_BYTES)
        self._writer: asyncio.StreamWriter | None = None
        asyncio.get_running_loop().add_reader(self._errors, self._collect)

    @contextlib.asynccontextmanager
    async def starting(self, setup: Message, seconds: float, memory: int) -> AsyncIterator[Message]:
        """Set the process up, yield its first message and limit its memory; end it if any of this fails.

        Args:
            setup: the setup message.
            seconds: seconds until the first message.
            memory: limit of resident memory, in bytes.

        Raises:
            InferenceUnavailableError: if the process does not start.
        """
        try:
            async with asyncio.timeout(seconds):
                connecting = asyncio.open_connection(sock=self._ours, limit=_BUFFER_BYTES)
                self._reader, self._writer = await connecting
                self.send(setup)
                message = await self.receive()
            yield message
            limit_memory(self.pid, memory)
        except BaseException as error:
            await self.end(errors.JobStoppedError("The process did not start."))
            if isinstance(error, errors.InferenceError | ProtocolError | TimeoutError | OSError):
                reason = f"{str(error) or 'it took too long.'}{self.stderr_tail}"
                raise errors.InferenceUnavailableError(
                    f"The {self._name} process cannot start: {reason}"
                ) from error
            raise

    @property
    def alive(self) -> bool:
        """Whether it is running and has not been killed."""
        return self.verdict is None and self._process.poll() is None

    def send(self, message: Message) -> None:
        """Send a message; it is lost if the process has ended."""
        assert self._writer is not None, "start first"
        self._writer.write(framing.encode(message))

    async def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            InferenceError: if the process ends instead; the error says why.
            ProtocolError: if the message is malformed.
        """
        try:
            header = await self._reader.readexactly(framing.HEADER.size)
            body = await self._reader.readexactly(framing.body_length(header))
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.wait()
            raise self.exit_reason() from None
        return framing.decode(body)

    def exit_reason(self) -> errors.InferenceError:
        """Return the reason why the process has ended."""
        if self.verdict is not None:
            return self.verdict
        code = self._process.poll() or 0
        if code == -signal.SIGXCPU:
            return errors.JobTimeLimitError("The job exceeded its limit of processor time.")
        if code >= 0:
            return errors.InferenceCrashedError(f"The inference process exited with status {code}.")
        name = signal.Signals(-code).name
        hint = " The machine may be out of memory." if code == -signal.SIGKILL else ""
        return errors.InferenceCrashedError(
            f"The inference process was killed by {name}.{hint}", signal=-code
        )

    @property
    def stderr_tail(self) -> str:
        """The end of the process's standard error, for the log."""
        text = self._tail.decode(errors="replace").strip()
        return f" The end of its standard error: {text}" if text else ""

    @contextlib.asynccontextmanager
    async def watched(self, bounds: Bounds) -> AsyncIterator[None]:
        """Kill the process if it exceeds a bound, or if the block raises an error that is not harmless.

        Raises:
            InferenceCrashedError: if the block raises ``ProtocolError``.
        """
        watching = asyncio.create_task(self._watch(bounds))
        try:
            yield
        except HARMLESS:
            raise
        except ProtocolError as error:
            verdict = errors.InferenceCrashedError(f"The {self._name} process misbehaved: {error}.")
            await self.end(verdict)
            raise verdict from error
        except errors.InferenceError as error:
            await self.end(error)
            raise
        except asyncio.CancelledError:
            await self.end(errors.JobStoppedError("The caller no longer waits."))
            raise
        except BaseException as error:
            await self.end(errors.InferenceCrashedError(f"{bounds.task} cannot continue: {error!r}."))
            raise
        finally:
            watching.cancel()

    def reported_error(
        self,
        message: Message,
        harmless: type[errors.SpleeterError] | tuple[type[errors.SpleeterError], ...],
        names: Mapping[str, str],
    ) -> errors.SpleeterError:
        """Return the error that the process reports, which is a crash unless it is harmless.

        Args:
            message: the report.
            harmless: classes of errors that it may report.
            names: texts that replace paths of this machine.

        Raises:
            ProtocolError: if the report is malformed.
        """
        kind, said = message.get("class"), message.get("message")
        if not isinstance(kind, str) or not isinstance(said, str):
            raise ProtocolError("it reports an error without words")
        said = said[:2000]
        for path, name in names.items():
            said = said.replace(path, name)
        kind = getattr(errors, kind, None)
        if isinstance(kind, type) and issubclass(kind, harmless):
            return kind(said)
        trace = str(message.get("trace", ""))[:2000]
        logger.error("%s process failed", self._name, extra={"problem": said, "trace": trace})
        return errors.InferenceCrashedError(f"The {self._name} process failed: {said}")

    async def _watch(self, bounds: Bounds) -> None:
        before, elapsed, checked = usage_of(self.pid), 0.0, time.monotonic()
        while self.alive:
            usage, now = usage_of(self.pid), time.monotonic()
            tick, checked = min(now - checked, _LONGEST_TICK), now
            elapsed += tick
            bounds.pace.waited += tick
            processor = usage.processor - before.processor if usage and before else 0.0
            if verdict := bounds.exceeded(elapsed, processor, usage):
                self.kill(verdict)
            await asyncio.sleep(_WATCH_SECONDS)

    def kill(self, verdict: errors.InferenceError) -> None:
        """Kill the process and its children at once."""
        self.verdict = self.verdict or verdict
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    async def end(self, verdict: errors.InferenceError) -> None:
        """Kill the process, and wait until it has exited."""
        self.kill(verdict)
        await self.wait()

    async def wait(self) -> None:
        """Wait until the process has ended, and release its resources; leave one that cannot be killed."""
        since = time.monotonic()
        while self._process.poll() is None:
            if self.verdict is not None and time.monotonic() - since > _DYING_SECONDS:
                logger.error("%s process %d cannot be killed", self._name, self.pid)
                break
            await asyncio.sleep(_POLL_SECONDS)
        if self._writer is not None:
            self._writer.close()
        self._ours.close()
        if self._errors >= 0:
            self._collect()
            self._close_errors()

    def _collect(self) -> None:
        """Keep the end of the process's standard error."""
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
