"""Looks into uploaded files, in confined processes that are kept warm.

A file that crashes, hangs or bloats the process costs that process and that file, nothing else.
This module imports nothing that decodes: the API, which has it, stays light.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from spleeter_microservice import errors
from spleeter_microservice.errors import (
    InferenceCrashedError,
    InferenceError,
    InferenceUnavailableError,
    InputError,
    JobMemoryLimitError,
    JobStoppedError,
    JobTimeLimitError,
)
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.sandbox.inference_process import InferenceProcess

logger = logging.getLogger(__name__)

_MODULE = "spleeter_microservice.sandbox.probe_child"
_WATCH_SECONDS = 0.1


@dataclass(frozen=True)
class AudioFacts:
    """What a look into a file's headers, and no more than necessary of its sound, tells.

    Attributes:
        format: of the file, such as ``mp3``.
        codec: of the sound.
        duration: in seconds.
        sample_rate: in Hz.
        channels: how many.
    """

    format: str
    codec: str
    duration: float
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class ProbeLimits:
    """What a probing process may use.

    Attributes:
        memory: resident, in bytes.
        seconds: for one file.
        start_seconds: until it must be ready.
        open_files: at a time.
        processes: at a time; further files wait.
    """

    memory: int = 512 << 20
    seconds: float = 20.0
    start_seconds: float = 60.0
    open_files: int = 64
    processes: int = 2


class Prober:
    """Tells what audio files are.

    Args:
        folder: below which the files lie; the processes read nothing else of the service's.
        limits: on the processes.
    """

    def __init__(self, folder: Path, limits: ProbeLimits | None = None) -> None:
        self.folder = folder.resolve()
        self.limits = limits or ProbeLimits()
        self._turns = asyncio.Semaphore(self.limits.processes)
        self._idle: list[InferenceProcess] = []
        self._busy: set[InferenceProcess] = set()

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that there are."""
        return [process.pid for process in (*self._busy, *self._idle)]

    async def start(self) -> None:
        """Have one process ready.

        Raises:
            InferenceUnavailableError: when it cannot be started.
        """
        async with self._turns:
            self._idle.append(await self._process())

    async def probe(self, path: Path) -> AudioFacts:
        """Tell what a file is, after those that were asked for before.

        Raises:
            InputError: of the kind that says why it cannot be separated; the message does not
                name the path.
            JobTimeLimitError, JobMemoryLimitError: when looking takes too much.
            InferenceCrashedError: when the process dies of the file.
            InferenceUnavailableError: when no process can be started.
        """
        async with self._turns:
            process = await self._process()
            self._busy.add(process)
            try:
                answer = await self._ask(process, path)
                facts = _facts(answer, path)
            except InputError:
                self._idle.append(process)
                raise
            except BaseException as error:
                await _end(process, _verdict(error))
                if isinstance(error, ProtocolError):
                    raise InferenceCrashedError(f"The probing process misbehaved: {error}.") from error
                raise
            finally:
                self._busy.discard(process)
            self._idle.append(process)
            return facts

    async def close(self) -> None:
        """End the processes."""
        for process in (*self._idle, *self._busy):
            await _end(process, JobStoppedError("The prober was closed."))
        self._idle.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _process(self) -> InferenceProcess:
        await asyncio.sleep(0)  # lets the loop see that an idle process has ended
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            await process.wait()
            logger.warning("a probing process has ended: %s", process.exit_reason())
        return await self._launch()

    async def _launch(self) -> InferenceProcess:
        process = InferenceProcess(self.folder, os.environ, _MODULE)
        try:
            async with asyncio.timeout(self.limits.start_seconds):
                await process.connect()
                process.send(
                    {
                        "type": "setup",
                        "readable": [str(self.folder)],
                        "writable": [],
                        "file_size": 0,
                        "open_files": self.limits.open_files,
                    }
                )
                await process.receive()  # that it is ready; anything else shows at the first file
            process.limit_memory(self.limits.memory)
        except BaseException as error:
            await _end(process, JobStoppedError("The probing process did not start."))
            if isinstance(error, InferenceError | ProtocolError | TimeoutError | OSError):
                reason = f"{str(error) or 'it takes too long.'}{process.stderr_tail}"
                raise InferenceUnavailableError(f"The probing process cannot start: {reason}") from error
            raise
        return process

    async def _ask(self, process: InferenceProcess, path: Path) -> Message:
        watching = asyncio.create_task(self._watch(process))
        try:
            process.send({"type": "probe", "path": str(path.resolve())})
            return await process.receive()
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _watch(self, process: InferenceProcess) -> None:
        """Kill the process when it exceeds a limit."""
        deadline = asyncio.get_running_loop().time() + self.limits.seconds
        while process.alive:
            usage = process.usage()
            if asyncio.get_running_loop().time() > deadline:
                process.kill(
                    JobTimeLimitError(f"Looking into the file took longer than {self.limits.seconds:g} s.")
                )
            elif usage and usage.memory > self.limits.memory:
                process.kill(
                    JobMemoryLimitError(
                        f"Looking into the file needed more than {self.limits.memory >> 20} MiB of memory."
                    )
                )
            await asyncio.sleep(_WATCH_SECONDS)


async def _end(process: InferenceProcess, verdict: InferenceError) -> None:
    process.kill(verdict)
    await process.wait()


def _verdict(error: BaseException) -> InferenceError:
    return (
        error if isinstance(error, InferenceError) else InferenceCrashedError(f"The probe ended: {error!r}.")
    )


def _facts(answer: Message, path: Path) -> AudioFacts:
    """Read an answer, trusting nothing in it."""
    if answer["type"] == "error":
        raise _reported(answer, path)
    try:
        facts = AudioFacts(
            format=_word(answer["format"]),
            codec=_word(answer["codec"]),
            duration=float(answer["duration"]),
            sample_rate=int(answer["sample_rate"]),
            channels=int(answer["channels"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError("it tells no facts") from error
    if not (math.isfinite(facts.duration) and 0 <= facts.duration < 1 << 40):
        raise ProtocolError("it tells of no possible duration")
    return facts


def _reported(answer: Message, path: Path) -> InputError | InferenceCrashedError:
    kind = getattr(errors, str(answer.get("class")), None)
    said = str(answer.get("message"))[:2000]
    if isinstance(kind, type) and issubclass(kind, InputError):
        for name in (str(path.resolve()), str(path)):
            said = said.replace(name, "The file")
        return kind(said)
    return InferenceCrashedError(f"The probing process failed: {said}")


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value[:50]
