"""Example responses for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from spleeter_microservice.jobs.job import JobOptions
from spleeter_microservice.web.separations.schemas import HTTP_OPTIONS

_PATH = "/v1/separations/0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_OPTIONS = JobOptions(codec="flac", bitrate=None).to_json()

WAITING: dict[str, Any] = {
    "id": "0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b",
    "state": "queued",
    "progress": 0.0,
    "input": {"name": "song.mp3", "sha256": _HASH, "seconds": 243.1},
    "options": {option.name: _OPTIONS[option.name] for option in HTTP_OPTIONS}
    | {
        "stems": 2,
        "model": None,
        "only": ["vocals"],
        "callback_url": None,
        "destination_url": None,
        "retention_hours": 24.0,
    },
    "metadata": {"order": "4711"},
    "url": _PATH,
    "events_url": f"{_PATH}/events",
    "archive_url": None,
    "stems": [],
    "mixes": [],
    "model": None,
    "model_quality": None,
    "experimental": None,
    "error": None,
    "delivered": None,
    "delivery_error": None,
    "waiting": None,
    "warnings": [],
    "request_id": "r-1",
    "created_at": "2030-01-01T12:00:00Z",
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
    "queue": {"position": 3, "audio_seconds_ahead": 412.5, "estimated_seconds": 21.4},
    "preview": None,
    "measurements": None,
    "details": None,
    "deliveries": [],
}
"""A queued separation."""

_VOCALS = {
    "name": "vocals",
    "url": f"{_PATH}/stems/vocals",
    "signed_url": None,
    "peaks_url": f"{_PATH}/peaks/vocals",
    "preview_url": f"{_PATH}/preview/vocals",
    "size": 21443380,
    "sha256": _HASH,
    "media_type": "audio/flac",
}

SUCCEEDED: dict[str, Any] = WAITING | {
    "state": "succeeded",
    "progress": 1.0,
    "archive_url": f"{_PATH}/archive",
    "stems": [_VOCALS],
    "preview": {
        "segment_url": f"{_PATH}/preview/{{stem}}/{{segment}}",
        "outputs": ["vocals"],
        "segments": 25,
        "segment_seconds": 10,
        "seconds": 243.1,
        "complete": True,
    },
    "model": "2stems",
    "model_quality": "official",
    "experimental": False,
    "started_at": "2030-01-01T12:00:01Z",
    "finished_at": "2030-01-01T12:00:09Z",
    "expires_at": "2030-01-02T12:00:09Z",
    "queue": None,
    "measurements": {"anomalies": [], "level": -14.2, "residual": -28.4, "expected_residual": -28.4},
    "details": {"seconds": 8.1, "realtime_factor": 30.0},
}
"""A separation whose stems can be downloaded."""
