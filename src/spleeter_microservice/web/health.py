"""Health of the service; needs no key and reveals no secret."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Literal

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.web.openapi.responses import RETRY_AFTER, Answers, open_to_all
from spleeter_microservice.web.services import Services

_TIMEOUT = 3.0  # seconds for all checks
_CACHED_SECONDS = 1.0  # so that frequent requests put no load on the parts

logger = structlog.get_logger(__name__)
router = APIRouter(tags=["operation"])


class Part(BaseModel):
    """A part of the service, and its state."""

    state: Literal["ok", "off", "unavailable"]
    count: int | None = Field(default=None, description="Number of workers that are ready.")


class Health(BaseModel):
    """State of the service."""

    status: Literal["ready", "serving", "unavailable"]
    parts: dict[str, Part] = Field(description="States of database, storage, disk, antivirus and workers.")
    warnings: list[str] = Field(description="Weaknesses of the configuration that its operator should mend.")


class Alive(BaseModel):
    """Confirmation that the process responds."""

    status: Literal["alive"] = "alive"


_REPORT: Answers = open_to_all() | {
    503: {"model": Health, "description": "Songs cannot be separated at the moment.", "headers": RETRY_AFTER}
}


class Readiness:
    """Checks of the service's parts, shared by concurrent requests.

    Args:
        services: services to check.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._report: Health | None = None
        self._checked_at = 0.0

    async def report(self) -> Health:
        """Return the states of the parts, at most a second old."""
        async with self._lock:
            if self._report is None or time.monotonic() - self._checked_at > _CACHED_SECONDS:
                self._report = await self._check()
                self._checked_at = time.monotonic()
            return self._report

    async def _check(self) -> Health:
        services = self._services
        checks: dict[str, Awaitable[Part | None]] = {
            "database": services.database.ping(),
            "storage": services.storage.check(),
            "disk": services.space.checked(),
            "antivirus": _scanner(services),
            "workers": _workers(services),
        }
        states = await asyncio.gather(*(_state(name, check) for name, check in checks.items()))
        parts = dict(zip(checks, states, strict=True))
        ready = all(part.state != "unavailable" for part in parts.values())
        return Health(
            status="ready" if ready else "unavailable", parts=parts, warnings=services.keys.warnings
        )


async def _state(name: str, check: Awaitable[Part | None]) -> Part:
    """Return a part's state; log the reason for a failure, as it may contain addresses and paths."""
    checking = asyncio.ensure_future(check)
    checking.add_done_callback(lambda done: done.cancelled() or done.exception())  # even if it comes too late
    await asyncio.wait({checking}, timeout=_TIMEOUT)
    reason = "timeout"
    if checking.done():
        try:
            return checking.result() or Part(state="ok")
        except (SpleeterError, TimeoutError) as error:
            reason = str(error) or reason
    checking.cancel()  # without waiting for it to clean up
    logger.warning("part unavailable", part=name, reason=reason)
    return Part(state="unavailable")


async def _scanner(services: Services) -> Part | None:
    if services.scanner is None:
        return Part(state="off")
    await services.scanner.ping()
    return None


async def _workers(services: Services) -> Part:
    ready = await services.workers.ready()
    return Part(state="ok" if ready else "unavailable", count=ready)


@router.get("/health/live", operation_id="getLiveness", responses=open_to_all())
async def live() -> Alive:
    """Confirm that the process responds, without checking other parts."""
    return Alive()


@router.get("/health/ready", operation_id="getReadiness", responses=_REPORT)
async def ready(request: Request, response: Response) -> Health:
    """Report whether songs can be separated now, and which parts are unavailable."""
    readiness: Readiness = request.app.state.readiness
    report = await readiness.report()
    return report if report.status == "ready" else _unavailable(report, response)


def _unavailable(report: Health, response: Response) -> Health:
    response.status_code = 503
    response.headers["Retry-After"] = "5"
    return report


@router.get("/health/serving", operation_id="getServing", responses=_REPORT)
async def serving(request: Request, response: Response) -> Health:
    """Report whether calls can be answered, even if no new songs are accepted; meant for load balancers."""
    readiness: Readiness = request.app.state.readiness
    report = await readiness.report()
    if report.parts["database"].state == "ok":
        return report.model_copy(update={"status": "serving"})
    return _unavailable(report, response)


@router.get("/health", operation_id="getHealth", responses=_REPORT)
async def health(request: Request, response: Response) -> Health:
    """Report the same as `/health/ready`."""
    return await ready(request, response)
