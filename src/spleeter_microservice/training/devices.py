"""The device that a training runs on, and its numeric precision."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.separation.device import available_cores

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bf16"]

_MOST_WORKERS = 8
_FIRST_WITH_BF16 = (8, 0)  # Nvidia compute capability


@dataclass(frozen=True)
class Compute:
    """The device, precision and threads of a training.

    Attributes:
        device: ``cpu`` or ``cuda``.
        bf16: whether to compute convolutions in bfloat16; weights, masks and losses are always float32.
        workers: number of threads that read songs.
    """

    device: torch.device
    bf16: bool
    workers: int

    def precision(self) -> AbstractContextManager[None]:
        """Return the context manager to run the networks in."""
        context: AbstractContextManager[None] = torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.bf16
        )
        return context


def choose(device: DeviceName, precision: Precision) -> Compute:
    """Resolve ``auto`` to CUDA if it is available, and to bfloat16 if the device accelerates it.

    Raises:
        ConfigurationError: if CUDA is requested but not available.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "CUDA was requested, but PyTorch finds no CUDA device. Install a CUDA build of PyTorch and the "
            "driver, or omit --device."
        )
    name = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if name == "cuda":
        torch.backends.cudnn.benchmark = True  # all batches have the same shape
    bf16 = precision == "bf16" or (precision == "auto" and _has_bf16(name))
    return Compute(torch.device(name), bf16, min(_MOST_WORKERS, available_cores()))


def _has_bf16(device: str) -> bool:
    """Return whether the hardware accelerates bfloat16, which is otherwise slower than float32."""
    if device == "cuda":
        return tuple(torch.cuda.get_device_capability()) >= _FIRST_WITH_BF16
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "amx_bf16" in cpu.read_text(encoding="utf-8").split()
