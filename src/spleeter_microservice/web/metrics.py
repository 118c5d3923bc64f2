"""Metrics for Prometheus; needs no key."""

from __future__ import annotations

import asyncio
import contextlib
import math

import structlog
from fastapi import APIRouter, Response

from spleeter_microservice.errors import DatabaseUnavailableError, DiskFullError, StorageUnavailableError
from spleeter_microservice.jobs.repository import Load
from spleeter_microservice.observability.metrics import (
    CURRENT_JOBS,
    EXPOSITION_TYPE,
    QUEUE_AUDIO_SECONDS,
    QUEUE_DEPTH,
    QUEUE_OLDEST_SECONDS,
    READY_WORKERS,
    exposition,
)
from spleeter_microservice.web.openapi.responses import Answers, open_to_all
from spleeter_microservice.web.services import Services, ServicesDep

_TIMEOUT = 3.0  # seconds; Prometheus waits ten

logger = structlog.get_logger(__name__)
router = APIRouter(tags=["operation"])
_RESPONSES: Answers = open_to_all() | {
    200: {"description": "The metrics.", "content": {EXPOSITION_TYPE: {"schema": {"type": "string"}}}}
}


@router.get("/metrics", operation_id="getMetrics", response_class=Response, responses=_RESPONSES)
async def metrics(services: ServicesDep) -> Response:
    """Return all metrics in Prometheus's text format.

    While the database is unavailable, the metrics of the queue and of the workers are NaN.
    """
    load, ready = await _load(services)
    _set_load(load)
    with contextlib.suppress(DiskFullError, StorageUnavailableError):
        await services.space.checked()
    READY_WORKERS.set(ready)
    return Response(await asyncio.to_thread(exposition), media_type=EXPOSITION_TYPE)


async def _load(services: Services) -> tuple[Load | None, float]:
    """Return the load of the queue and the number of ready workers, if the database is available."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await services.repository.load(), await services.workers.ready()
    except (DatabaseUnavailableError, TimeoutError):
        logger.warning("cannot measure the queue", exc_info=True)
        return None, math.nan


def _set_load(load: Load | None) -> None:
    CURRENT_JOBS.set(load.running if load else math.nan)
    QUEUE_DEPTH.set(load.queued if load else math.nan)
    QUEUE_AUDIO_SECONDS.set(load.queued_audio_seconds if load else math.nan)
    QUEUE_OLDEST_SECONDS.set(load.oldest_seconds if load else math.nan)
