"""A confined child process: started, messaged, monitored and killed by its parent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice import errors
from spleeter_microservice.sandbox import framing
from spleeter_microservice.sandbox.confinement.policy import environment
from spleeter_microservice.sandbox.framing import Message, ProtocolError

logger = logging.getLogger(__name__)

HARMLESS = (errors.AudioError, errors.ModelError, errors.ConfigurationError)
"""Errors that a process may report about a file and then go on as before."""
INFERENCE = "spleeter_microservice.sandbox.inference_child"
_PAGE_BYTES = resource.getpagesize()
_TAIL_BYTES = 4000
_BUFFER_BYTES = 1 << 16
_POLL_SECONDS = 0.005
_WATCH_SECONDS = 0.1
# A process maps more memory than it uses. Beyond this margin the kernel refuses memory by itself.
_SPARE_BYTES = 512 << 20
_SPARE_SECONDS = 10
_LONGEST_TICK = 1.0  # seconds; whatever paused this process for longer has probably paused its child as well
_DYING_SECONDS = 10.0  # a process that waits for a file system that hangs cannot even be killed
_SLOWER = 10  # a step may take this many times as long as the longest one before it


@dataclass(frozen=True)
class Usage:
    """Resources in use: resident memory in bytes, threads, and processor time in seconds."""

    memory: int
    threads: int
    processor: float


class Pace:
    """The pace of a process: how long its current step takes, and how long it may take.

    Args:
        floor: seconds that any step may take.
        usual: seconds that work of this process took before, on this machine.

    Attributes:
        waited: seconds since the last step, without those in which this side did not run either.
    """

    def __init__(self, floor: float, usual: float = 0.0) -> None:
        self.waited = 0.0
        self._floor, self._longest = floor, usual
        self._position: object = None

    def note(self, position: object) -> None:
        """Note how far the process is, which is another step if it differs."""
        if position != self._position:
            self._position, self._longest, self.waited = position, max(self._longest, self.waited), 0.0

    @property
    def is_stalled(self) -> bool:
        """Whether the current step takes longer than expected."""
        return self.waited > max(self._floor, _SLOWER * self._longest)


class InferenceProcess:
    """A process that runs one of our modules and expects a setup message first.

    Args:
        work_folder: its current directory.
        environ: environment of which it is given only what it needs.
        module: module to run; see ``channel.confine``.

    Attributes:
        pid: its PID.
        verdict: why this side killed it, if it did; the first reason stands.
    """

    def __init__(self, work_folder: Path, environ: Mapping[str, str], module: str = INFERENCE) -> None:
        self.verdict: errors.InferenceError | None = None
        self._name = "inference" if module == INFERENCE else "probing"
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._errors, errors = os.pipe()
        os.set_blocking(self._errors, False)
        with theirs, os.fdopen(errors, "wb") as standard_error:
            # Not asyncio's subprocesses: they are lost if their start is cancelled, and need a thread to
            # wait for them. Popen blocks for a few milliseconds and does not copy memory.
            self._process = subprocess.Popen(  # noqa: S603  (a module of this program)
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=environment(environ, work_folder),
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

    async def connect(self) -> None:
        """Open the connection for ``send`` and ``receive``."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._ours, limit=_BUFFER_BYTES)

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
                await self.connect()
                self.send(setup)
                message = await self.receive()
            yield message
            self.limit_memory(memory)
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
        assert self._writer is not None, "connect first"
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

    def usage(self) -> Usage | None:
        """Return the resources in use, or None if the process has ended or the system cannot report them."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        # Count the fields after the name, which may contain anything: see proc(5).
        fields = text.rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return Usage(int(fields[21]) * _PAGE_BYTES, int(fields[17]), ticks / os.sysconf("SC_CLK_TCK"))

    def limit_memory(self, most_bytes: int) -> None:
        """Make the kernel refuse memory far beyond the limit, in case the monitor is too slow."""
        usage = self.usage()
        if usage is not None:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
            mapped = next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmData" in line)
            most = mapped + max(0, most_bytes - usage.memory) + _SPARE_BYTES
            resource.prlimit(self.pid, resource.RLIMIT_DATA, (most, most))

    def limit_processor_time(self, seconds: float) -> None:
        """Make the kernel kill it after this much more processor time, in case this side hangs."""
        usage = self.usage()
        if usage is not None:
            soft = int(usage.processor + seconds) + _SPARE_SECONDS
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.pid, resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))

    @contextlib.asynccontextmanager
    async def watched(
        self,
        task: str,
        seconds: float,
        memory: int,
        pace: Pace,
        *,
        threads: int = 512,
        processor: float = math.inf,
    ) -> AsyncIterator[None]:
        """Kill the process if it exceeds a limit, or if the block raises an error that is not harmless.

        Args:
            task: what the process does, as the subject of an error message.
            seconds: limit of time from now on.
            memory: limit of resident memory, in bytes.
            pace: what the block notes the steps of the process in; a stall ends it, too.
            threads: limit of threads.
            processor: limit of processor time from now on, in seconds.

        Raises:
            InferenceCrashedError: if the block raises ``ProtocolError``.
        """
        watching = asyncio.create_task(self._watch(task, seconds, memory, pace, threads, processor))
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
            await self.end(errors.InferenceCrashedError(f"{task} cannot continue: {error!r}."))
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

    async def _watch(
        self, task: str, seconds: float, memory: int, pace: Pace, threads: int, processor: float
    ) -> None:
        before, elapsed, checked = self.usage(), 0.0, time.monotonic()
        while self.alive:
            usage, now = self.usage(), time.monotonic()
            tick, checked = min(now - checked, _LONGEST_TICK), now
            elapsed += tick
            pace.waited += tick
            if elapsed > seconds:
                self.kill(errors.JobTimeLimitError(f"{task} took longer than {seconds:g} s."))
            elif pace.is_stalled:
                self.kill(errors.InferenceStalledError(f"{task} made no progress for {pace.waited:.1f} s."))
            elif usage and before and usage.processor - before.processor > processor:
                self.kill(
                    errors.JobTimeLimitError(f"{task} took more than {processor:.1f} s of processor time.")
                )
            elif usage and usage.memory > memory:
                self.kill(memory_error(task, memory))
            elif usage and usage.threads > threads:
                self.kill(errors.InferenceCrashedError(f"{task} started too many threads."))
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


def memory_error(task: str, memory: int) -> errors.JobMemoryLimitError:
    """Return the error for a task that exceeded its limit of memory, in bytes."""
    return errors.JobMemoryLimitError(f"{task} needed more than {memory >> 20} MiB of memory.")
