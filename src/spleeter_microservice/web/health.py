"""Whether the service works, for orchestrators and people; no key is needed, and no secret told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import structlog
from fastapi import APIRouter, Request, Response

from spleeter_microservice.errors import ScannerUnavailableError, SpleeterError
from spleeter_microservice.web.health_schemas import Alive, Health, Part
from spleeter_microservice.web.openapi.responses import RETRY_AFTER, Answers, open_to_all
from spleeter_microservice.web.services import Services

_PATIENCE = 3.0  # seconds for all parts
_FRESH = 1.0  # seconds for which a report is given again, so that nobody can wear out the parts by asking

logger = structlog.get_logger(__name__)
router = APIRouter(tags=["operation"])
_REPORT: Answers = open_to_all() | {
    503: {"model": Health, "description": "Songs cannot be separated now.", "headers": RETRY_AFTER}
}


class Readiness:
    """Asks the parts of the service how they are, one caller for all that ask meanwhile.

    Args:
        services: that are asked.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._report: Health | None = None
        self._asked_at = 0.0

    async def report(self) -> Health:
        """Give the parts' states, at most a second old."""
        async with self._lock:
            if self._report is None or time.monotonic() - self._asked_at > _FRESH:
                self._report = await self._ask()
                self._asked_at = time.monotonic()
            return self._report

    async def _ask(self) -> Health:
        services = self._services
        database, storage, antivirus, workers = await asyncio.gather(
            _asked("database", services.database.ping()),
            _asked("storage", services.storage.check()),
            _asked("antivirus", _scanner(services)),
            _asked("workers", _workers(services)),
        )
        parts = {"database": database, "storage": storage, "antivirus": antivirus, "workers": workers}
        ready = all(part.state != "unavailable" for part in parts.values())
        return Health(status="ready" if ready else "unavailable", parts=parts)


async def _asked(name: str, question: Awaitable[Part | None]) -> Part:
    """Give a part's answer; why there is none is for the log, as it may tell addresses and paths."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await question or Part(state="ok")
    except (SpleeterError, TimeoutError) as error:
        logger.warning("a part is unavailable", part=name, reason=str(error) or "no answer in time")
        return Part(state="unavailable")


async def _scanner(services: Services) -> Part | None:
    if services.antivirus.mode == "off":
        return Part(state="off")
    problem = await services.antivirus.problem()
    if problem:
        raise ScannerUnavailableError(problem)
    return None


async def _workers(services: Services) -> Part:
    ready = await services.workers.ready()
    return Part(state="ok" if ready else "unavailable", count=ready)


@router.get("/health/live", operation_id="getLiveness", responses=open_to_all())
async def live() -> Alive:
    """Tell that the process answers; asks no other part."""
    return Alive()


@router.get("/health/ready", operation_id="getReadiness", responses=_REPORT)
async def ready(request: Request, response: Response) -> Health:
    """Tell whether songs can be separated now, and which part is in the way."""
    readiness: Readiness = request.app.state.readiness
    report = await readiness.report()
    if report.status != "ready":
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return report


@router.get("/health", operation_id="getHealth", responses=_REPORT)
async def health(request: Request, response: Response) -> Health:
    """Tell the same as `/health/ready`."""
    return await ready(request, response)
