"""Start of inference processes."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from spleeter_microservice.sandbox import messages
from spleeter_microservice.sandbox.confinement.policy import MEASURES
from spleeter_microservice.sandbox.framing import Message, ProtocolError
from spleeter_microservice.sandbox.inference_process import HARMLESS, InferenceProcess
from spleeter_microservice.sandbox.messages import InferenceModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Limits on an inference process.

    Attributes:
        memory: resident memory in bytes.
        file_size: size of any file that it writes, in bytes.
        open_files: number of open files.
        threads: number of threads.
        start_seconds: seconds until it must be ready.
    """

    memory: int = 3 << 30
    file_size: int = 8 << 30
    open_files: int = 256
    threads: int = 512
    start_seconds: float = 60.0


class Launcher:
    """A launcher of inference processes that hold a model.

    Args:
        model: model to load.
        work_folder: directory that the processes can write to.
        readable: directories that they can read.
        limits: limits on each process.
        cores: number of cores that each process uses; by default, all available ones.

    Attributes:
        in_force: the sandbox ``MEASURES`` in force in the process started last.
        provider: the ONNX Runtime provider that it runs on.
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
            "model": messages.encode_model(model.files),
            "cores": cores,
            "readable": sorted(map(str, readable)),
            "writable": [str(work_folder)],
            "file_size": limits.file_size,
            "open_files": limits.open_files,
        }

    async def launch(self) -> InferenceProcess:
        """Start a process and wait until it has loaded the model.

        Raises:
            InferenceUnavailableError: if it does not start.
            ModelError: if it cannot load the model.
        """
        begin = time.monotonic()
        process = InferenceProcess(self._work_folder, os.environ)
        limits = self._limits
        async with process.starting(self._setup, limits.start_seconds, limits.memory) as message:
            if message["type"] == "error":
                raise process.reported_error(message, HARMLESS, {})
            self.in_force = _measures(message)
            self.provider = messages.text(message.get("provider"), 50)
        self._log(process, time.monotonic() - begin)
        return process

    def _log(self, process: InferenceProcess, seconds: float) -> None:
        missing = [measure for measure in MEASURES if measure not in self.in_force]
        logger.log(
            logging.WARNING if missing else logging.INFO,
            "inference process ready",
            extra={
                "pid": process.pid,
                "seconds": round(seconds, 2),
                "provider": self.provider,
                "in_force": self.in_force,
                "not_in_force": missing,
            },
        )


def _measures(message: Message) -> list[str]:
    """Read the measures that confine a process from its first message."""
    in_force = message.get("in_force")
    if message["type"] != "ready" or not isinstance(in_force, list):
        raise ProtocolError("it did not report that it is ready")
    return [measure for measure in MEASURES if measure in in_force]
