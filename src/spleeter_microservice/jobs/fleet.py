"""The workers that live, and the models that they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Model:
    """A model that can separate now, or could be installed.

    Attributes:
        name: as users are told, ``4stems-lite``.
        stems: its instruments, in order.
        installed: whether a worker has it.
        engine: weights and version; results are reused between equal ones only.
        bandwidth: ``official`` up to 11 kHz, ``16kHz`` up to 16.
        quality: ``official``, or ``approximate`` for what this project trained itself.
        experimental: whether a stem of it is not yet good.
        licence: of its weights.
    """

    name: str
    stems: tuple[str, ...]
    installed: bool
    engine: str = ""
    bandwidth: Literal["official", "16kHz"] = "official"
    quality: Literal["official", "approximate"] = "official"
    experimental: bool = False
    licence: str = ""
