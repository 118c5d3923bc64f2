"""Starts inference processes, all alike."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice import errors
from spleeter_microservice.errors import (
    InferenceCrashedError,
    InferenceError,
    InferenceUnavailableError,
    JobStoppedError,
)
from spleeter_microservice.sandbox import messages
from spleeter_microservice.sandbox.confinement.policy import MEASURES
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.sandbox.inference_process import InferenceProcess
from spleeter_microservice.sandbox.messages import InferenceModel

logger = logging.getLogger(__name__)

HARMLESS = (errors.AudioError, errors.ModelError, errors.ConfigurationError)
"""Errors that a process may report of a job, and that leave it as good as before."""


@dataclass(frozen=True)
class Limits:
    """What an inference process may use.

    Attributes:
        memory: resident, in bytes.
        file_size: of any file that it writes, in bytes.
        open_files: at a time.
        threads: at a time.
        start_seconds: until it must be ready.
    """

    memory: int = 3 << 30
    file_size: int = 8 << 30
    open_files: int = 256
    threads: int = 512
    start_seconds: float = 60.0


class Launcher:
    """Starts inference processes that hold a model.

    Args:
        model: that they load.
        work_folder: that they can write.
        readable: folders that they can read.
        limits: on each.
        cores: that each uses; by default all that this process may use.

    Attributes:
        in_force: the ``MEASURES`` of the sandbox that confine the process started last.
        provider: of ONNX Runtime, that it runs on.
    """

    def __init__(
        self,
        model: InferenceModel,
        work_folder: Path,
        readable: tuple[Path, ...],
        limits: Limits,
        cores: int | None = None,
    ) -> None:
        self.in_force: list[str] = []
        self.provider = ""
        self._work_folder = work_folder
        self._limits = limits
        self._setup: Message = {
            "type": "setup",
            "model": model.to_message(),
            "cores": cores,
            "readable": sorted(map(str, readable)),
            "writable": [str(work_folder)],
            "file_size": limits.file_size,
            "open_files": limits.open_files,
        }

    async def launch(self) -> InferenceProcess:
        """Start a process and wait until it has loaded the model.

        Raises:
            InferenceUnavailableError: when it does not start.
            ModelError: when it cannot load the model.
        """
        begin = time.monotonic()
        process = InferenceProcess(self._work_folder, os.environ)
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                await process.connect()
                process.send(self._setup)
                answer = await process.receive()
            self.in_force = _readiness(answer)
            self.provider = messages.text(answer.get("provider"), 50)
            process.limit_memory(self._limits.memory)
        except BaseException as error:
            process.kill(JobStoppedError("The inference process did not start."))
            await process.wait()
            if isinstance(error, InferenceError | ProtocolError | TimeoutError | OSError):
                reason = f"{str(error) or 'it takes too long.'}{process.stderr_tail}"
                raise InferenceUnavailableError(f"The inference process cannot start: {reason}") from error
            raise
        self._log(process, time.monotonic() - begin)
        return process

    def _log(self, process: InferenceProcess, seconds: float) -> None:
        missing = [measure for measure in MEASURES if measure not in self.in_force]
        logger.log(
            logging.WARNING if missing else logging.INFO,
            "inference process %d is ready after %.2f s; runs on %s; in force: %s; not in force: %s",
            *(process.pid, seconds, self.provider),
            *(", ".join(self.in_force), ", ".join(missing) or "nothing"),
        )


def _readiness(answer: Message) -> list[str]:
    """Read the first answer of a process: what confines it."""
    if answer["type"] == "error":
        kind = getattr(errors, messages.text(answer.get("class")), None)
        said = messages.text(answer.get("message"))
        if isinstance(kind, type) and issubclass(kind, HARMLESS):
            raise kind(said)
        raise InferenceCrashedError(said)
    in_force = answer.get("in_force")
    if answer["type"] != "ready" or not isinstance(in_force, list):
        raise ProtocolError("it does not say that it is ready")
    return [measure for measure in MEASURES if measure in in_force]
