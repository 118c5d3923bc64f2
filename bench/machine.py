"""The machine that the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from spleeter_microservice.separation.device import available_cores


def machine() -> str:
    """Return a description of the machine and of its load."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return f"{processor}, {available_cores()} cores, Python {platform.python_version()}, load {load()}"


def load() -> str:
    """Return how many processes have run or waited for a core, on average of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"
