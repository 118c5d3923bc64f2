"""On what a training computes, and how precisely."""

from __future__ import annotations

import os
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
_FIRST_WITH_BF16 = (8, 0)  # Nvidia's compute capability


@dataclass(frozen=True)
class Compute:
    """What a training computes with.

    Attributes:
        device: ``cpu`` or ``cuda``.
        bf16: whether convolutions are computed in bfloat16; weights, masks and losses never are.
        workers: threads that read songs.
    """

    device: torch.device
    bf16: bool
    workers: int

    def precision(self) -> AbstractContextManager[None]:
        """Give the context in which the networks are run."""
        context: AbstractContextManager[None] = torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.bf16
        )
        return context


def choose(device: DeviceName, precision: Precision) -> Compute:
    """Choose: CUDA where it is, and bfloat16 where the device has units for it.

    Raises:
        ConfigurationError: when CUDA is asked for and not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(
            "CUDA was asked for, but PyTorch finds no device for it. Install PyTorch's build for CUDA and "
            "its driver, or leave --device out."
        )
    name = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if name == "cuda":
        torch.backends.cudnn.benchmark = True  # all batches are of one shape
    bf16 = precision == "bf16" or (precision == "auto" and _has_bf16(name))
    return Compute(torch.device(name), bf16, min(_MOST_WORKERS, available_cores()))


def _has_bf16(device: str) -> bool:
    """Tell whether bfloat16 is computed by units made for it, and not slower than single precision."""
    if device == "cuda":
        return tuple(torch.cuda.get_device_capability()) >= _FIRST_WITH_BF16
    cpu = Path("/proc/cpuinfo")
    return os.name == "posix" and cpu.is_file() and "amx_bf16" in cpu.read_text(encoding="utf-8").split()
