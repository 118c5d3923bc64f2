"""Response bodies, as described in the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, create_model

from spleeter_microservice.audio.warnings import WARNINGS
from spleeter_microservice.jobs.job import JobOptions, State
from spleeter_microservice.separation.declarations import declared_options
from spleeter_microservice.webhooks.deliveries import WebhookDelivery

HTTP_OPTIONS = [option for option in declared_options(JobOptions) if option.http]
"""Options that HTTP requests may set."""
_FIELDS: dict[str, Any] = {
    option.name: (option.hint, Field(description=option.help)) for option in HTTP_OPTIONS
}
_OptionFields: Any = create_model("_OptionFields", **_FIELDS)


class FieldProblem(BaseModel):
    """An invalid field of a request, and the reason."""

    field: str = Field(description="Path of the field.", examples=["stems"])
    reason: str = Field(examples=["Input should be 2, 4 or 5."])


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(
        description="Stable identifier of the kind of problem.", examples=["/problems/invalid-fields"]
    )
    title: str = Field(examples=["Invalid fields"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="Explanation for people, with what to do.", examples=["stems: Input should be 2, 4 or 5."]
    )
    instance: str = Field(description="Path of the request.", examples=["/v1/separations"])
    request_id: str = Field(
        description="Id of the request in the logs.", examples=["0190c3f2a1b87d3e8f4b5c6d7e8f9a0b"]
    )
    errors: list[FieldProblem] | None = Field(default=None, description="All invalid fields.")
    reason: Literal["malformed", "mistyped", "unknown", "expired", "revoked"] | None = Field(
        default=None, description="Why an API key is not accepted."
    )


class Queue(BaseModel):
    """Position of a queued separation."""

    position: int = Field(description="1 for the next one to start.", examples=[3])
    audio_seconds_ahead: float = Field(description="Seconds of audio ahead of it.", examples=[412.5])
    estimated_seconds: float | None = Field(
        description="Estimated seconds until it is done; null until a first song has been measured.",
        examples=[21.4],
    )


class Input(BaseModel):
    """The song."""

    name: str = Field(description="File name that the client sent.", examples=["song.mp3"])
    sha256: str
    seconds: float = Field(description="Seconds of audio to separate.", examples=[243.1])


class SeparationOptions(_OptionFields):  # type: ignore[misc]  # a base class made at run time
    """The requested options."""

    stems: int
    model: str | None = Field(description="Requested model.")
    callback_url: str | None
    destination_url: str | dict[str, str] | None = Field(
        description="Where the stems are written, without what signs the addresses."
    )
    retention_hours: float


class StemFile(BaseModel):
    """A stem or mix that can be downloaded."""

    name: str = Field(examples=["vocals"])
    url: str = Field(examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b/stems/vocals"])
    signed_url: str | None = Field(
        description="Address at which anyone can download it without a key for a while, relative to that of "
        "the service unless it names a host. Null in lists, for keys that may not read, and if nothing is "
        "signed here.",
        examples=["/v1/signed/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b/vocals?tenant=ann&expires=…&signature=…"],
    )
    peaks_url: str = Field(examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b/peaks/vocals"])
    preview_url: str | None = Field(
        description="Small Opus file for players; null if there are no previews.",
        examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b/preview/vocals"],
    )
    size: int = Field(description="Size in bytes.", examples=[5292044])
    sha256: str
    media_type: str = Field(examples=["audio/wav"])


class Preview(BaseModel):
    """Previews for players, which can be played while the song is still being separated."""

    segment_url: str = Field(
        description="Template of the address of a segment: an Opus file that decodes by itself.",
        examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b/preview/{stem}/{segment}"],
    )
    outputs: list[str] = Field(
        description="Names to put in place of `{stem}`.", examples=[["vocals", "accompaniment"]]
    )
    segments: int = Field(description="Number of segments so far; the first one is 0.", examples=[3])
    segment_seconds: float = Field(
        description="Seconds of each segment; the last one may have less.", examples=[10]
    )
    seconds: float = Field(description="Seconds of the song that the segments cover.", examples=[30.0])
    complete: bool = Field(description="Whether all segments and the whole files exist.")


class JobError(BaseModel):
    """Why a separation failed."""

    type: str = Field(description="Type as in problem documents.", examples=["/problems/truncated-audio"])
    message: str


class Waiting(BaseModel):
    """What the service lacked when it put a separation back into the queue."""

    type: str = Field(description="Type as in problem documents.", examples=["/problems/disk-full"])
    since: datetime


class SongWarning(BaseModel):
    """Something odd about a song, which was separated nevertheless."""

    code: str = Field(description="Stable name of the kind; docs/errors.md lists all.", examples=["cut-off"])
    message: str = Field(description="Explanation for people.", examples=[WARNINGS["cut-off"]])
    position: float = Field(description="Seconds from the beginning of the song.", examples=[182.4])


class SeparationSummary(BaseModel):
    """A separation as shown in lists."""

    id: UUID
    state: State
    progress: float = Field(ge=0, le=1, examples=[0.42])
    input: Input
    options: SeparationOptions
    metadata: dict[str, str]
    url: str = Field(examples=["/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b"])
    events_url: str
    archive_url: str | None = Field(
        description="All stems and mixes as one ZIP archive; null until they exist."
    )
    stems: list[StemFile] = Field(description="Stems in the model's order; empty until it has succeeded.")
    mixes: list[StemFile] = Field(description="Mixes of stems; empty until it has succeeded.")
    preview: Preview | None = Field(description="Previews; null until the first segments exist.")
    model: str | None = Field(description="Model that separated the song.", examples=["2stems"])
    model_quality: Literal["official", "approximate"] | None = Field(
        description="official: Deezer's weights. approximate: weights trained by this project."
    )
    experimental: bool | None = Field(description="Whether a stem of the model is not yet reliable.")
    error: JobError | None
    delivered: bool | None = Field(
        description="Whether everything was written to `destination_url`; null without one, and until then."
    )
    delivery_error: str | None = Field(description="Why not, and what to do. The stems can be downloaded.")
    waiting: Waiting | None = Field(
        description="Why it was put back into the queue, if it was; null once it has ended."
    )
    warnings: list[SongWarning] = Field(
        description="What is odd about the song, such as damage; empty until it has succeeded."
    )
    request_id: str | None = Field(description="Id of the request that created it.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="Time when everything about it is erased.")


class Separation(SeparationSummary):
    """A separation in full."""

    queue: Queue | None = Field(description="Position in the queue; null unless queued.")
    measurements: dict[str, Any] | None = Field(
        description="Levels in dB, the estimated quality of each stem (low, fair or good), and anomalies, "
        "such as a silent stem, which suggest that the separation failed; null until it has succeeded."
    )
    details: dict[str, Any] | None = Field(
        description="Times, hashes and versions; null until it has succeeded."
    )
    deliveries: list[WebhookDelivery] = Field(description="Webhooks of the separation.")


class SeparationPage(BaseModel):
    """A page of separations."""

    items: list[SeparationSummary]
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last page.")
    total: int | None = Field(description="Number of separations on all pages; null unless `count` is set.")


class ModelInfo(BaseModel):
    """A model."""

    name: str = Field(examples=["2stems"])
    stems: list[str] = Field(examples=[["vocals", "accompaniment"]])
    installed: bool = Field(description="Whether a running worker has it.")
    bandwidth: Literal["official", "16kHz"]
    quality: Literal["official", "approximate"]
    experimental: bool
    licence: str = Field(examples=["MIT"])


class ModelList(BaseModel):
    """All models that are installed or can be installed."""

    models: list[ModelInfo]
