"""Example responses for the OpenAPI document."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from spleeter_microservice.jobs.job import (
    DEFAULT_RETENTION,
    Job,
    JobOptions,
    Preview,
    Result,
    State,
    StoredStem,
)
from spleeter_microservice.jobs.repository import Position
from spleeter_microservice.web.separations.presenters import separation

_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
_UNSET: dict[str, Any] = dict.fromkeys(item.name for item in fields(Job))
_QUEUED = Job(
    **_UNSET
    | {
        "id": UUID("0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b"),
        "input_name": "song.mp3",
        "audio_seconds": 243.1,
        "content_hash": _HASH,
        "options": JobOptions(codec="flac", bitrate=None, only=("vocals",), metadata={"order": "4711"}),
        "retention": DEFAULT_RETENTION,
        "request_id": "r-1",
        "state": State.QUEUED,
        "progress": 0.0,
        "created_at": _NOON,
    }
)
_SUCCEEDED = replace(
    _QUEUED,
    state=State.SUCCEEDED,
    progress=1.0,
    result=Result(
        (StoredStem("vocals", "", 21_443_380, _HASH, "audio/flac"),),
        model="2stems",
        quality={"suspect": [], "level": -14.2, "residual": -28.4, "expected_residual": -28.4},
        details={"model_quality": "official", "experimental": False, "seconds": 8.1, "realtime_factor": 30.0},
    ),
    preview=Preview(["vocals"], segments=25, seconds=243.1, segment_seconds=10),
    started_at=_NOON + timedelta(seconds=1),
    finished_at=_NOON + timedelta(seconds=9),
    expires_at=_NOON + timedelta(days=1, seconds=9),
)

WAITING = separation(_QUEUED, Position(3, 412.5, 21.4), (), {}).model_dump(mode="json")
"""A queued separation."""
SUCCEEDED = separation(_SUCCEEDED, None, (), {}).model_dump(mode="json")
"""A separation whose stems can be downloaded."""
