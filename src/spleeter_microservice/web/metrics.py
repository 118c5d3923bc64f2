"""Metrics for Prometheus; needs no key."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

import structlog
from fastapi import APIRouter, Request, Response

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
from spleeter_microservice.web.services import Services

_TIMEOUT = 3.0  # seconds; Prometheus waits ten
_PAUSE = 0.1
"""Seconds from one exposition to the next, so that frequent requests put little load on the process."""

logger = structlog.get_logger(__name__)
router = APIRouter(tags=["operation"])
_RESPONSES: Answers = open_to_all() | {
    200: {"description": "The metrics.", "content": {EXPOSITION_TYPE: {"schema": {"type": "string"}}}}
}


class Exposition:
    """The metrics as text, made once for all requests that wait for them.

    Args:
        services: services to measure.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._next: asyncio.Task[bytes] | None = None
        self._due = 0.0

    async def text(self) -> bytes:
        """Return the metrics as they are after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._make())
        return await asyncio.shield(self._next)

    async def _make(self) -> bytes:
        await asyncio.sleep(self._due - time.monotonic())
        self._next, self._due = None, time.monotonic() + _PAUSE
        load, ready = await _load(self._services)
        _set_load(load)
        with contextlib.suppress(DiskFullError, StorageUnavailableError):
            await self._services.space.checked()
        READY_WORKERS.set(ready)
        return await asyncio.to_thread(exposition)


@router.get("/metrics", operation_id="getMetrics", response_class=Response, responses=_RESPONSES)
async def metrics(request: Request) -> Response:
    """Return all metrics in Prometheus's text format.

    While the database is unavailable, the metrics of the queue and of the workers are NaN.
    """
    current: Exposition = request.app.state.exposition
    return Response(await current.text(), media_type=EXPOSITION_TYPE)


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
