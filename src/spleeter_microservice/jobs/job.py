"""Jobs as pure data."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from spleeter_microservice.audio.codecs import CODECS, FILMS, Codec
from spleeter_microservice.separation.declarations import declared_options, option
from spleeter_microservice.separation.options import SeparationOptions

DEFAULT_RETENTION = timedelta(hours=24)


class State(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ERASING = "erasing"
    """It was deleted, but its objects could not be erased yet. No job is stored in this state."""

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


def new_job_id() -> UUID:
    """Return an identifier that sorts by creation time (RFC 9562, version 7)."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000  # section 6.2, method 3
    number = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=number)


@dataclass(frozen=True)
class JobOptions(SeparationOptions):
    """What the client asked for: how to separate the song, with which model, and whom to notify.

    Attributes:
        stems: number of stems: 2, 4 or 5.
        model: name of the model; None for the best one with that many stems.
        metadata: texts of the client, which are stored and returned.
        callback_url: address that is called when the job ends.
        destination_url: folder in a bucket that the stems are written to, or a pre-signed address for each
            name, whose query is secret.
        container: name of the container of films (``audio.codecs.FILMS``).
    """

    bandwidth: str = option(
        "official",
        "How far up the stems reach. official: up to 11 kHz, as in Spleeter. 16kHz: up to 16 kHz. "
        "full: all frequencies; above 11 kHz they are divided as just below.",
        choices=("official", "16kHz", "full"),
        best="full",
    )
    stems: int = 2
    model: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    callback_url: str | None = None
    destination_url: str | Mapping[str, str] | None = None
    container: str = "mp4"

    def codec_of(self, output: str) -> Codec:
        """Return what a stem, mix or film is written in."""
        return FILMS[self.container] if output in self.video else CODECS[self.codec]

    @property
    def separation(self) -> SeparationOptions:
        """The options that remain once the model is chosen; 16kHz is a matter of the model."""
        values = {item.name: getattr(self, item.name) for item in fields(SeparationOptions)}
        return SeparationOptions(**values | ({"bandwidth": "official"} if self.bandwidth == "16kHz" else {}))

    @property
    def needs(self) -> list[str]:
        """What a worker has to know to do what was asked for; empty if every version does.

        These are the names of options that differ from their default, with a value that is one of a few.
        """
        plain = JobOptions()
        asked = {each.name: getattr(self, each.name) for each in fields(self)}
        changed = (name for name, value in asked.items() if value != getattr(plain, name))
        return sorted({_need(name, asked[name]) for name in changed} - _ALWAYS_KNOWN)

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return asdict(self) | {"only": list(self.only), "without": list(self.without)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> JobOptions:
        """Read what ``to_json`` of this version or another one returned."""
        return cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})

    def digest(self, result_version: str) -> str:
        """Return a hash of everything that decides the result; the version says which model does."""
        deciding = self.to_json() | {"result_version": result_version, "only": sorted(self.only)}
        for other in ("metadata", "callback_url", "destination_url", "model", "preset"):
            del deciding[other]
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


_CHOICES = {each.name: each.choices for each in declared_options(JobOptions) if each.name != "preset"}
_CHOICES["container"] = tuple(FILMS)
_ALWAYS_KNOWN = {
    *("stems", "only", "model", "metadata", "callback_url", "preset"),
    *("bitrate", "offset", "duration", "mwf", "track", "keep_delay"),
    *("bit_depth=16", "bit_depth=24", "bit_depth=32f", "bandwidth=16kHz", "bandwidth=full", "damaged=refuse"),
    *(f"codec={name}" for name in ("flac", "mp3", "m4a", "ogg", "opus", "wma")),
}
"""Needs that workers knew before jobs stated any. What is new is not added here."""


def _need(name: str, value: str | None) -> str:
    return f"{name}={value}" if _CHOICES.get(name) else name


def known_needs() -> list[str]:
    """Return all that jobs can need of the workers of this version."""
    named = (each.name for each in fields(JobOptions))
    return sorted({_need(name, value) for name in named for value in _CHOICES.get(name) or (None,)})


@dataclass(frozen=True)
class StoredStem:
    """A stem in the object store; ``crc32`` is None if an older version stored it."""

    name: str
    key: str
    size: int
    sha256: str
    media_type: str = "application/octet-stream"
    crc32: int | None = None


@dataclass(frozen=True)
class Result:
    """The result of a job.

    Attributes:
        stems: stems in the model's order, then the mixes.
        model: the model's public name.
        quality: measurements as JSON values (``worker.separate_job``).
        details: times, hashes and versions.
        warnings: what is odd about the song (``audio.warnings``) as JSON values.
    """

    stems: tuple[StoredStem, ...]
    model: str = ""
    quality: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values, without the warnings, which have a column of their own."""
        values = asdict(self) | {"stems": [asdict(stem) for stem in self.stems]}
        del values["warnings"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any], warnings: Sequence[Mapping[str, Any]] = ()) -> Result:
        """Read what ``to_json`` returned."""
        stems = tuple(StoredStem(**stem) for stem in values["stems"])
        return cls(**dict(values) | {"stems": stems, "warnings": tuple(warnings)})


@dataclass(frozen=True)
class Preview:
    """How far the stored previews of a job's outputs reach.

    Attributes:
        outputs: names of the stems and mixes.
        segments: number of segments that each output has.
        seconds: seconds of the song that they cover.
        segment_seconds: seconds of each segment, of which the last one may have less.
    """

    outputs: list[str]
    segments: int
    seconds: float
    segment_seconds: float


@dataclass(frozen=True)
class NewJob:
    """A job to be created.

    Attributes:
        tenant: owner of the job.
        prefix: object prefix of everything that belongs to the job, and to no other job.
        input_key: key of the uploaded file, below the prefix.
        input_name: file name that the client sent.
        audio_seconds: seconds of audio to separate.
        expected_bytes: estimated size of the stems.
        content_hash: hash of the uploaded file.
        result_version: model and program version; results are reused only if it is equal.
        retention: how long the job is kept after its end.
        idempotency_key: the client's key; needs ``body_hash``.
        body_hash: hash of everything that the client sent with that key.
        request_id: id that follows the request through the logs.
        traceparent: trace of the request in the form of W3C Trace Context.
        id: id of the job.
    """

    tenant: str
    prefix: str
    input_key: str
    audio_seconds: float
    content_hash: str
    expected_bytes: int = 0
    input_name: str = ""
    options: JobOptions = field(default_factory=JobOptions)
    result_version: str = ""
    retention: timedelta = DEFAULT_RETENTION
    idempotency_key: str | None = None
    body_hash: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    id: UUID = field(default_factory=new_job_id)


@dataclass(frozen=True, kw_only=True)
class Job(NewJob):
    """A job as stored in the database.

    ``fence`` grows whenever the job changes hands; a holder with an older number can no longer change
    it. ``attempts`` counts the starts, ``crashes`` the attempts that ended with a crashed process.
    ``started_at`` is the start of the last attempt. ``preview`` is about the previews that the attempt has
    stored so far, under keys that name its fence. ``waiting_for`` is the code of the error for which the
    job was put back, if it was, and ``waiting_since`` the time when that happened first.
    """

    state: State
    progress: float
    owner: int | None
    fence: int
    attempts: int
    crashes: int
    error_type: str | None
    error_message: str | None
    waiting_for: str | None
    waiting_since: datetime | None
    result: Result | None
    preview: Preview | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Job:
        """Read a row of ``spleeter_jobs``."""
        values = {item.name: row[item.name] for item in fields(cls)}
        result = values["result"]
        return cls(
            **values
            | {
                "state": State(values["state"]),
                "options": JobOptions.from_json(values["options"]),
                "result": Result.from_json(result, row["warnings"]) if result else None,
                "preview": values["preview"] and Preview(**values["preview"]),
            }
        )

    def preview_key(self, output: str, segment: int | None = None) -> str:
        """Return the key of an output's preview, or of a segment of it."""
        name = output if segment is None else f"{output}/{segment}"
        return f"{self.prefix}/previews/{self.fence}/{name}.opus"


@dataclass(frozen=True)
class JobEvent:
    """A change of a job; ``id`` grows with every event of a job, and only a success may have warnings.

    ``preview`` has the values of ``Preview``.
    """

    id: int
    kind: Literal["state", "progress"]
    state: State
    progress: float
    warnings: Sequence[Mapping[str, Any]] = ()
    preview: Mapping[str, Any] | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> JobEvent:
        """Read a row of ``spleeter_events``."""
        values = {item.name: row[item.name] for item in fields(cls)}
        return cls(**values | {"state": State(values["state"])})
