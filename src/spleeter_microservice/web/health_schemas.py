"""Bodies of the health responses."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Part(BaseModel):
    """What the service is made of, and how it is."""

    state: Literal["ok", "off", "unavailable"]
    count: int | None = Field(default=None, description="Of workers that are ready.")


class Health(BaseModel):
    """How the service is."""

    status: Literal["ready", "unavailable"]
    parts: dict[str, Part] = Field(description="database, storage, antivirus, workers.")


class Alive(BaseModel):
    """That the process answers."""

    status: Literal["alive"] = "alive"
