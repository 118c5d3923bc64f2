"""Jobs presented as separations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from spleeter_microservice.jobs.job import Job, Preview, StoredStem
from spleeter_microservice.jobs.repository import Position
from spleeter_microservice.web.middleware.proxies import ROOT_PATH
from spleeter_microservice.web.separations import schemas
from spleeter_microservice.webhooks.deliveries import WebhookDelivery

_DELIVERY = ("delivered", "delivery_error")
_OLD_WORKER = "The worker that separated the song is of a version that delivers nothing. Download the stems."


def separation_path(job: Job) -> str:
    """Return the path of a separation, as the caller of the current request sees it."""
    return f"{ROOT_PATH.get()}/v1/separations/{job.id}"


def separation(
    job: Job, position: Position | None, deliveries: Sequence[WebhookDelivery], signed: Mapping[str, str]
) -> schemas.Separation:
    """Present a job in full, with signed addresses of its stems by their names."""
    result = job.result
    return schemas.Separation(
        **_common(job, signed),
        queue=None if position is None else queue_of(position),
        measurements=_measurements(result.quality) if result else None,
        details={key: value for key, value in result.details.items() if key not in _DELIVERY}
        if result
        else None,
        deliveries=list(deliveries),
    )


def summary(job: Job) -> schemas.SeparationSummary:
    """Present a job as in lists."""
    return schemas.SeparationSummary(**_common(job, {}))


def _common(job: Job, signed: Mapping[str, str]) -> dict[str, Any]:
    path, result = separation_path(job), job.result
    details, outputs = (result.details, result.stems) if result else ({}, ())
    mixes = job.options.mix_names
    delivering = result is not None and job.options.destination_url is not None
    delivered = details.get("delivered", False) if delivering else None
    return vars(job) | {
        "input": schemas.Input(name=job.input_name, sha256=job.content_hash, seconds=job.audio_seconds),
        "options": schemas.SeparationOptions(
            **vars(job.options)
            | {
                "destination_url": _unsigned(job.options.destination_url),
                "retention_hours": job.retention / timedelta(hours=1),
            }
        ),
        "metadata": dict(job.options.metadata),
        "url": path,
        "events_url": f"{path}/events",
        "archive_url": f"{path}/archive" if result else None,
        "stems": [_stem(path, stem, signed, job) for stem in outputs if stem.name not in mixes],
        "mixes": [_stem(path, stem, signed, job) for stem in outputs if stem.name in mixes],
        "preview": job.preview and _preview(path, job.preview, complete=result is not None),
        "model": result.model if result else None,
        "model_quality": details.get("model_quality"),
        "experimental": details.get("experimental"),
        "error": _error(job),
        "delivered": delivered,
        "delivery_error": None if delivered in (None, True) else details.get("delivery_error", _OLD_WORKER),
        "waiting": _waiting(job),
        "warnings": list(result.warnings) if result else [],
    }


def _measurements(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measurements under the names of the API, which rows do not have."""
    stems = {name: _renamed(stem, "anomaly") for name, stem in stored.get("stems", {}).items()}
    return {"anomalies": [], **_renamed(stored, "anomalies"), "stems": stems}


def _renamed(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name if key == "suspect" else key: value for key, value in values.items()}


def _unsigned(destination: str | Mapping[str, str] | None) -> str | dict[str, str] | None:
    """Return a destination without the queries of its addresses, which permit to write there."""
    if isinstance(destination, Mapping):
        return {name: url.partition("?")[0] for name, url in destination.items()}
    return destination


def _stem(path: str, stem: StoredStem, signed: Mapping[str, str], job: Job) -> schemas.StemFile:
    return schemas.StemFile(
        **vars(stem),
        url=f"{path}/stems/{stem.name}",
        signed_url=signed.get(stem.name),
        peaks_url=f"{path}/peaks/{stem.name}",
        preview_url=f"{path}/preview/{stem.name}" if job.preview else None,
    )


def _preview(path: str, preview: Preview, *, complete: bool) -> schemas.Preview:
    return schemas.Preview(
        **asdict(preview), segment_url=f"{path}/preview/{{stem}}/{{segment}}", complete=complete
    )


def _error(job: Job) -> schemas.JobError | None:
    if job.error_type is None:
        return None
    kind = job.error_type.removeprefix("/problems/").replace("_", "-")
    return schemas.JobError(type=f"/problems/{kind}", message=job.error_message or "")


def _waiting(job: Job) -> schemas.Waiting | None:
    if job.waiting_for is None or job.waiting_since is None or job.state.final:
        return None
    return schemas.Waiting(type=f"/problems/{job.waiting_for}", since=job.waiting_since)


def queue_of(position: Position) -> schemas.Queue:
    """Present a position in the queue."""
    return schemas.Queue(
        position=position.place,
        audio_seconds_ahead=position.audio_seconds_ahead,
        estimated_seconds=position.estimate,
    )
