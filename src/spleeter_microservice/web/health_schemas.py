"""Bodies of the health responses."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Part(BaseModel):
    """A part of the service, and its state."""

    state: Literal["ok", "off", "unavailable"]
    count: int | None = Field(default=None, description="Number of workers that are ready.")


class Health(BaseModel):
    """State of the service."""

    status: Literal["ready", "unavailable"]
    parts: dict[str, Part] = Field(description="States of database, storage, antivirus and workers.")
    warnings: list[str] = Field(description="Weaknesses of the configuration that its operator should mend.")


class Alive(BaseModel):
    """Confirmation that the process responds."""

    status: Literal["alive"] = "alive"
