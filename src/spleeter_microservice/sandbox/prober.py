"""Probing of uploaded files, in confined processes that are kept warm.

A file that crashes, hangs or bloats its process affects only that process and that file. This module
imports no decoder, so that the API stays light.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Turns
from spleeter_microservice.audio.codecs import FILMS
from spleeter_microservice.sandbox.bounds import Bounds, Pace
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.sandbox.inference_process import InferenceProcess
from spleeter_microservice.sandbox.untrusted import read
from spleeter_microservice.separation.options import SeparationOptions

logger = logging.getLogger(__name__)

_BYTES_PER_SECOND = 100_000_000  # at which a slow processor looks for other files behind the first
_TRIES = 2  # with a file whose process stalls or is killed
_MODULE = "spleeter_microservice.sandbox.probe_child"


@dataclass(frozen=True)
class AudioFacts:
    """Facts about a file, from its headers and as little of its audio as necessary.

    Attributes:
        format: container format, such as ``mp3``.
        codec: codec of the audio.
        duration: duration in seconds, or None if only decoding everything would tell.
        sample_rate: sample rate in Hz.
        channels: number of channels.
        film: name of the container for its pictures, if it is a film.
    """

    format: str
    codec: str
    duration: float | None
    sample_rate: int
    channels: int
    film: str | None = None


@dataclass(frozen=True)
class ProbeLimits:
    """Limits on probing processes.

    Attributes:
        memory: resident memory in bytes.
        seconds: seconds for one file, which only a process that stalls exceeds.
        processor: seconds of processor time for one file, apart from reading it.
        start_seconds: seconds until a process must be ready.
        open_files: number of open files.
        processes: number of processes; further files wait.
        of_each: number of a tenant's files that are probed at a time.
    """

    memory: int = 512 << 20
    seconds: float = 20.0
    processor: float = 1.5
    start_seconds: float = 60.0
    open_files: int = 64
    processes: int = 2
    of_each: int = 1


class Prober:
    """A prober of audio files.

    Args:
        folder: directory that contains the files; the processes can read nothing else of the service.
        limits: limits on the processes.
    """

    def __init__(self, folder: Path, limits: ProbeLimits | None = None) -> None:
        self.folder = folder.resolve()
        self.limits = limits or ProbeLimits()
        self._turns = Turns(self.limits.of_each, self.limits.processes)
        self._idle: list[InferenceProcess] = []
        self._busy: set[InferenceProcess] = set()

    @property
    def pids(self) -> list[int]:
        """PIDs of the existing processes."""
        return [process.pid for process in (*self._busy, *self._idle)]

    async def start(self) -> None:
        """Start one process ahead of the first file.

        Raises:
            InferenceUnavailableError: if it cannot be started.
        """
        async with self._turns.take(""):
            self._idle.append(await self._process())

    async def probe(
        self, path: Path, options: SeparationOptions | None = None, tenant: str = ""
    ) -> AudioFacts:
        """Read a file's format and duration, after the tenant's earlier files and in turn with other tenants.

        Args:
            path: the file.
            options: how it will be separated, which decides what of it is read.
            tenant: owner of the file; only one of a tenant's files is read at a time.

        Raises:
            InputError: if the file cannot be separated; the class says why, and the message does not name
                the path.
            JobTimeLimitError, JobMemoryLimitError: if probing exceeds a limit.
            InferenceCrashedError: if the process crashes.
            InferenceUnavailableError: if no process can be started, or two in a row stall or are killed.
        """
        async with self._turns.take(tenant):
            for _ in range(_TRIES):
                try:
                    return await self._probe(path, options or SeparationOptions())
                except errors.InferenceCrashedError as error:
                    # No file causes SIGKILL; the kernel sends it for want of memory, for instance.
                    if not isinstance(error, errors.InferenceStalledError) and error.signal != signal.SIGKILL:
                        raise
                    logger.warning("probing a file once more: %s", error)
        raise errors.InferenceUnavailableError(
            f"{_TRIES} probing processes stalled or were killed with one file."
        )

    async def _probe(self, path: Path, options: SeparationOptions) -> AudioFacts:
        process = await self._process()
        self._busy.add(process)
        limits = self.limits
        size = path.stat().st_size if path.exists() else 0
        processor = limits.processor + size / _BYTES_PER_SECOND
        bounds = Bounds("Probing the file", Pace(limits.seconds), limits.memory, processor=processor)
        try:
            async with process.watched(bounds):
                process.send({"type": "probe", "path": str(path.resolve()), "options": asdict(options)})
                return _facts(process, await process.receive(), path)
        finally:
            self._busy.discard(process)
            if process.verdict is None:
                self._idle.append(process)

    async def close(self) -> None:
        """Stop the processes."""
        for process in (*self._idle, *self._busy):
            await process.end(errors.JobStoppedError("The prober was closed."))
        self._idle.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _process(self) -> InferenceProcess:
        await asyncio.sleep(0)  # let the event loop notice that an idle process has ended
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            await process.wait()
            logger.warning("probing process ended: %s", process.exit_reason())
        return await self._launch()

    async def _launch(self) -> InferenceProcess:
        process = InferenceProcess(self.folder, _MODULE)
        setup: Message = {
            "type": "setup",
            "readable": [str(self.folder)],
            "writable": [],
            "file_size": 0,
            "open_files": self.limits.open_files,
        }
        async with process.starting(setup, self.limits.start_seconds, self.limits.memory):
            return process  # it is ready; any other message fails at the first file


def _facts(process: InferenceProcess, reply: Message, path: Path) -> AudioFacts:
    """Read a reply without trusting it."""
    if reply["type"] == "error":
        names = dict.fromkeys((str(path.resolve()), str(path)), "The file")
        raise process.reported_error(reply, errors.InputError, names)
    facts = read(AudioFacts, reply)
    if facts.film not in (None, *FILMS):
        raise ProtocolError("the container is unknown")
    if facts.duration is not None and not 0 <= facts.duration < 1 << 40:
        raise ProtocolError("the duration is impossible")
    return facts
