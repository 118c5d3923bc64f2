"""The bodies of answers, as the OpenAPI document describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, create_model

from spleeter_microservice.jobs.job import JobOptions, State
from spleeter_microservice.separation.options import declared_options
from spleeter_microservice.webhooks.deliveries import WebhookDelivery

_OPTIONS = [option for option in declared_options(JobOptions) if option.http]
_FIELDS: dict[str, Any] = {option.name: (option.hint, Field(description=option.help)) for option in _OPTIONS}
_OptionFields: Any = create_model("_OptionFields", **_FIELDS)


class FieldProblem(BaseModel):
    """A field of a request, and what is wrong with it."""

    field: str = Field(description="Path of the field.", examples=["stems"])
    reason: str = Field(examples=["Input should be 2, 4 or 5."])


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Tells problems apart; stable.", examples=["/problems/invalid-fields"])
    title: str = Field(examples=["Invalid fields"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="For people; says what to do.", examples=["stems: Input should be 2, 4 or 5."]
    )
    instance: str = Field(description="The path that was asked for.", examples=["/v1/separations"])
    request_id: str = Field(
        description="What the operator finds in the logs.", examples=["0190c3f2a1b87d3e8f4b5c6d7e8f9a0b"]
    )
    errors: list[FieldProblem] | None = Field(default=None, description="All fields that are wrong.")


class Queue(BaseModel):
    """Where a waiting job stands."""

    position: int = Field(description="1 is the next one to start.", examples=[3])
    audio_seconds_ahead: float = Field(description="Of the jobs before it.", examples=[412.5])
    estimated_seconds: float | None = Field(
        description="Until it is done; null as long as there is nothing to measure by.", examples=[21.4]
    )


class Input(BaseModel):
    """The song."""

    name: str = Field(description="As its sender calls it.", examples=["song.mp3"])
    sha256: str
    seconds: float = Field(description="That are separated.", examples=[243.1])


class SeparationOptions(_OptionFields):  # type: ignore[misc]  # a base class made at run time
    """What the caller asked for."""

    stems: int
    only: list[str] = Field(description="The stems that are wanted; empty: all.")
    callback_url: str | None
    retention_hours: float


class StemFile(BaseModel):
    """A stem that can be downloaded."""

    name: str = Field(examples=["vocals"])
    url: str = Field(examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b/stems/vocals"])
    peaks_url: str = Field(examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b/peaks/vocals"])
    size: int = Field(description="In bytes.", examples=[5292044])
    sha256: str
    media_type: str = Field(examples=["audio/wav"])


class JobError(BaseModel):
    """Why a job failed."""

    type: str = Field(description="As in problem documents.", examples=["/problems/truncated-audio"])
    message: str


class SeparationSummary(BaseModel):
    """A separation, as it stands in lists."""

    id: UUID
    state: State
    progress: float = Field(ge=0, le=1, examples=[0.42])
    input: Input
    options: SeparationOptions
    metadata: dict[str, str]
    url: str = Field(examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b"])
    events_url: str
    archive_url: str | None = Field(description="All stems as one ZIP; null until there are any.")
    stems: list[StemFile] = Field(description="In the model's order; empty until the end.")
    model: str | None = Field(description="That separated the song.", examples=["2stems"])
    model_quality: Literal["official", "approximate"] | None = Field(
        description="official: Deezer's weights. approximate: weights that this project trained."
    )
    experimental: bool | None = Field(description="Whether a stem of the model is not yet good.")
    error: JobError | None
    request_id: str | None = Field(description="Of the request that created it.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When everything about it is erased.")


class Separation(SeparationSummary):
    """A separation, with all that is known of it."""

    queue: Queue | None = Field(description="Null unless it waits.")
    quality: dict[str, Any] | None = Field(
        description="Levels in dB, and what looks suspect; null until the end. See docs/models.md."
    )
    details: dict[str, Any] | None = Field(description="Times, hashes and versions; null until the end.")
    deliveries: list[WebhookDelivery] = Field(description="The webhooks.")


class SeparationPage(BaseModel):
    """Some separations, newest first."""

    items: list[SeparationSummary]
    next_cursor: str | None = Field(description="Gives the next page; null: this is the last one.")


class ModelInfo(BaseModel):
    """A model."""

    name: str = Field(examples=["2stems"])
    stems: list[str] = Field(examples=[["vocals", "accompaniment"]])
    installed: bool = Field(description="Whether a worker has it now.")
    bandwidth: Literal["official", "16kHz"]
    quality: Literal["official", "approximate"]
    experimental: bool
    licence: str = Field(examples=["MIT"])


class ModelList(BaseModel):
    """All models that are installed, or could be."""

    models: list[ModelInfo]
