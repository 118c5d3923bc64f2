"""A slot, which separates one file at a time in a process that it watches and replaces.

A file that makes the process crash, hang or exhaust its memory costs that process and that job, nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from spleeter_microservice import errors
from spleeter_microservice.observability.metrics import WORKER_RESTARTS
from spleeter_microservice.sandbox import messages, self_check, untrusted
from spleeter_microservice.sandbox.bounds import Bounds, Pace, limit_processor_time
from spleeter_microservice.sandbox.confinement.policy import MEASURES
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.sandbox.inference_process import HARMLESS, InferenceProcess
from spleeter_microservice.sandbox.messages import InferenceModel, SeparationRequest
from spleeter_microservice.separation.result import SeparatedSong

logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int | None, int], None]
"""Called with the numbers of samples done, of all samples or None if unknown, and of preview segments."""

_CPU = "CPUExecutionProvider"
_MESSAGES_PER_SECOND = 40
_STEPS_OF_A_START = 2  # importing libraries and loading a model takes as long as this many steps


@dataclass(frozen=True)
class Limits:
    """Limits on an inference process.

    Attributes:
        memory: resident memory in bytes.
        file_size: size of any file that it writes, in bytes.
        open_files: number of open files.
        threads: number of threads.
        start_seconds: seconds until it must be ready.
        stall_seconds: seconds that it may always go without progress; it may take longer if it took long to
            start, or for an earlier step.
    """

    memory: int = 3 << 30
    file_size: int = 8 << 30
    open_files: int = 256
    threads: int = 512
    start_seconds: float = 60.0
    stall_seconds: float = 30.0


class InferenceSlot:
    """A separator of files, one at a time, in a confined process.

    Args:
        model: model that is loaded from the start; a request may name another.
        work_folder: the only directory that the process can write to; it holds inputs and stems.
        models_folder: directory of the models that requests may name; by default the model's own.
        limits: limits of the process.
        cores: number of processor cores that the process uses; by default all that this process may use.

    Attributes:
        ends: number of processes that ended, by the name of the resulting error.
        in_force: the sandbox's ``MEASURES`` that confine the process started last.
        stalls: number of processes that have stalled or could not start since one answered a request.
    """

    def __init__(
        self,
        model: InferenceModel,
        work_folder: Path,
        *,
        models_folder: Path | None = None,
        limits: Limits | None = None,
        cores: int | None = None,
    ) -> None:
        self.model = model
        self.work_folder = work_folder.resolve()
        self.limits = limits or Limits()
        self.ends: Counter[str] = Counter()
        self.in_force: list[str] = []
        self.stalls = 0
        self._start_took = 0.0
        self._provider = ""
        readable = (*model.folders, models_folder or model.files.directory)
        self._setup: Message = {
            "type": "setup",
            "model": messages.encode_model(model.files),
            "cores": cores,
            "readable": sorted(str(folder.resolve()) for folder in readable),
            "writable": [str(self.work_folder)],
            "file_size": self.limits.file_size,
            "open_files": self.limits.open_files,
        }
        self._starting: asyncio.Task[InferenceProcess] | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process ID of the process that is ready or at work."""
        process = self._present()
        return process.pid if process else None

    async def start(self) -> None:
        """Start the process and wait until it has loaded the model.

        Raises:
            InferenceUnavailableError: if it cannot be started.
            ModelError: if it cannot load the model.
        """
        await self._process()

    async def separate(
        self, request: SeparationRequest, on_progress: OnProgress | None = None
    ) -> SeparatedSong:
        """Separate a file, after those that were requested earlier.

        If the calling task is cancelled, the process is killed.

        Args:
            request: the file, and how to separate it.
            on_progress: called at least twice a second.

        Raises:
            AudioError, ModelError, ConfigurationError: as ``separate_song``.
            JobTimeLimitError, JobMemoryLimitError: if it exceeds a limit; the process is replaced.
            JobStoppedError: if the slot is closed.
            InferenceCrashedError: if the process crashes, misbehaves or stalls; it is replaced.
            InferenceUnavailableError: if no process can be started.
            ValueError: if the request's files are not in the work folder.
        """
        self._check_inside(request)
        async with self._turn, self._counting_stalls():
            process = await self._process()
            pace = Pace(self.limits.stall_seconds, self._start_took / _STEPS_OF_A_START)
            memory, threads = self.limits.memory, self.limits.threads
            bounds = Bounds("The job", pace, memory, request.time_limit, threads=threads)
            try:
                async with process.watched(bounds):
                    return await self._conversation(process, request, bounds, on_progress)
            finally:
                if not process.alive:
                    self._replace(process)

    async def self_check(self) -> float | None:
        """Separate the reference clip and compare the stems with the expected ones.

        Returns:
            The greatest difference in dB, or None if the expected stems of the model are unknown; its stems
            are then only checked for plausibility.

        Raises:
            SelfCheckError: if the stems are wrong.
            InferenceError, ModelError: as ``separate``.
        """
        await self._process()
        exact = self._provider == _CPU
        tolerance = self_check.TOLERANCE if exact else self_check.GPU_TOLERANCE
        return await self_check.check(self.separate, self.model, self.work_folder, tolerance)

    async def close(self) -> None:
        """Kill the process and start no other; a job at work is stopped."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
            if process := self._present():
                await process.end(errors.JobStoppedError("The slot was closed."))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _present(self) -> InferenceProcess | None:
        """Return the process started last, if it is ready and has not exited."""
        task = self._starting
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result() if task.result().alive else None

    async def _process(self) -> InferenceProcess:
        """Return the process started last when it is ready, starting one if necessary."""
        await asyncio.sleep(0)  # lets the event loop notice that an idle process has exited
        if self._closed:
            raise errors.InferenceUnavailableError("The slot is closed.")
        if self._starting is None:
            self._start_another()
        elif self._starting.done() and self._present() is None:
            await self._replace_exited(self._starting)
        assert self._starting is not None
        return await asyncio.shield(self._starting)

    async def _replace_exited(self, ended: asyncio.Task[InferenceProcess]) -> None:
        """Start another process in place of one that exited while idle, or could not start."""
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            WORKER_RESTARTS.labels(type(error).__name__).inc()
        if ended.cancelled() or error is not None:
            self._start_another()
        else:
            await ended.result().wait()
            if self._starting is ended:
                self._replace(ended.result())

    def _start_another(self) -> None:
        self._starting = asyncio.create_task(self._launch())
        self._starting.add_done_callback(_log_failure)

    @contextlib.asynccontextmanager
    async def _counting_stalls(self) -> AsyncIterator[None]:
        try:
            yield
        except (errors.InferenceStalledError, errors.InferenceUnavailableError):
            self.stalls += 1
            raise

    async def _launch(self) -> InferenceProcess:
        """Start a process and wait until it has loaded the model."""
        begin, limits = time.monotonic(), self.limits
        process = InferenceProcess(self.work_folder)
        async with process.starting(self._setup, limits.start_seconds, limits.memory) as message:
            if message["type"] == "error":
                raise process.reported_error(message, HARMLESS, {})
            if message["type"] != "ready" or not isinstance(message.get("in_force"), list):
                raise ProtocolError("it did not report that it is ready")
            self.in_force = [measure for measure in MEASURES if measure in message["in_force"]]
            self._provider = untrusted.text(message.get("provider"), 50)
        self._start_took = time.monotonic() - begin
        missing = [measure for measure in MEASURES if measure not in self.in_force]
        logger.log(
            logging.WARNING if missing else logging.INFO,
            "inference process ready",
            extra={
                "pid": process.pid,
                "seconds": round(self._start_took, 2),
                "provider": self._provider,
                "in_force": self.in_force,
                "not_in_force": missing,
            },
        )
        return process

    def _replace(self, process: InferenceProcess) -> None:
        reason = process.exit_reason()
        self.ends[type(reason).__name__] += 1
        if not isinstance(reason, errors.JobStoppedError):  # on request
            WORKER_RESTARTS.labels(type(reason).__name__).inc()
        logger.warning("inference process %d exited: %s%s", process.pid, reason, process.stderr_tail)
        if not self._closed:
            self._start_another()

    async def _conversation(
        self,
        process: InferenceProcess,
        request: SeparationRequest,
        bounds: Bounds,
        on_progress: OnProgress | None,
    ) -> SeparatedSong:
        """Send a request and receive messages until the result."""
        begin = time.monotonic()
        limit_processor_time(process.pid, request.time_limit * (os.cpu_count() or 1))
        process.send(request.to_message())
        for received in itertools.count():
            message = await process.receive()
            if received > _MESSAGES_PER_SECOND * (2 + time.monotonic() - begin):
                raise ProtocolError("it sends too many messages")
            if message["type"] in ("result", "error"):
                self.stalls = 0
            if message["type"] == "result":
                return self._result(message, request)
            if message["type"] == "error":
                raise self._reported(process, message, request, bounds)
            if message["type"] != "progress":
                raise ProtocolError("it sends an unknown message")
            done, total, steps, segments = messages.progress(message)
            bounds.pace.note((done, steps, segments))
            if on_progress:
                on_progress(done, total, segments)
        raise AssertionError

    def _result(self, message: Message, request: SeparationRequest) -> SeparatedSong:
        for path in request.paths.values():
            # An attacker who controls the process could have put a link to another file there.
            if not self._is_inside(path) or not path.is_file() or path.is_symlink():
                raise ProtocolError(f"it has not written {path.name}")
        return messages.separation(message, request)

    def _reported(
        self, process: InferenceProcess, message: Message, request: SeparationRequest, bounds: Bounds
    ) -> errors.SpleeterError:
        if message.get("class") == errors.JobMemoryLimitError.__name__:
            return bounds.memory_error()
        source = str(request.source.absolute())
        names = {source: request.name or request.source.name, f"{self.work_folder}/": ""}
        return process.reported_error(message, HARMLESS, names)

    def _check_inside(self, request: SeparationRequest) -> None:
        for path in (request.source, *request.paths.values()):
            if not self._is_inside(path):
                raise ValueError(f"{path} is not in the work folder {self.work_folder}")

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.work_folder)


def _log_failure(task: asyncio.Task[InferenceProcess]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("inference process cannot start: %s", error)
