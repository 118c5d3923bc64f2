"""The application: routes and middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from spleeter_microservice.observability.tracing import is_tracing, tracer_provider
from spleeter_microservice.web import health, limits, metrics, models, page, presets, problem_handler
from spleeter_microservice.web.downloads import routes as downloads
from spleeter_microservice.web.downloads import signed_routes
from spleeter_microservice.web.health import Readiness
from spleeter_microservice.web.middleware.allowed_hosts import Hosts
from spleeter_microservice.web.middleware.body_limit import BodyLimitMiddleware, BodyLimits
from spleeter_microservice.web.middleware.proxies import Proxies
from spleeter_microservice.web.middleware.request_log import RequestLog
from spleeter_microservice.web.middleware.resumable import ResumableProtocol
from spleeter_microservice.web.middleware.security_headers import SecurityHeaders
from spleeter_microservice.web.middleware.turns import RequestTurns
from spleeter_microservice.web.openapi import document as openapi
from spleeter_microservice.web.routing import heads_of, refuse_unknown_query
from spleeter_microservice.web.separations import events
from spleeter_microservice.web.separations import routes as separations
from spleeter_microservice.web.separations.notifications import NotificationHub
from spleeter_microservice.web.services import ApiConfig, Services
from spleeter_microservice.web.submit import separate_now
from spleeter_microservice.web.submit.spool import remove_leftovers
from spleeter_microservice.web.uploads import routes as uploads
from spleeter_microservice.web.uploads.headers import READABLE_HEADERS

_READABLE = [
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotent-Replayed",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Spleeter-Warnings",
    "X-Request-ID",
    *READABLE_HEADERS,
]
"""Headers of responses that pages of other origins may read."""


def create_app(services: Services) -> FastAPI:
    """Create the application; the caller opens and closes the services."""
    app = FastAPI(
        title="spleeter-microservice",
        version=services.version or "0",
        openapi_url=None,  # ``openapi.describe`` serves the document; the pages for it load foreign scripts
        redirect_slashes=False,
        lifespan=_lifespan,
        telemetry={
            "tracing": is_tracing(),
            "tracer_provider": tracer_provider(),
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    app.state.services = services
    app.state.readiness = Readiness(services)
    app.state.exposition = metrics.Exposition(services)
    problem_handler.install(app)
    _add_middleware(app, services.config)
    keyed = [Depends(refuse_unknown_query)]
    for module in (separations, events, downloads, separate_now, uploads, models, limits, presets):
        app.include_router(module.router, dependencies=keyed)
        app.include_router(heads_of(module.router), dependencies=keyed)
    for module in (signed_routes, health, metrics, page):
        app.include_router(module.router)
        app.include_router(heads_of(module.router))
    openapi.describe(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    await asyncio.to_thread(remove_leftovers, services.config.spool)
    async with NotificationHub(services.database.direct_url).running() as hub:
        app.state.notification_hub = hub
        yield


def _add_middleware(app: FastAPI, config: ApiConfig) -> None:
    """Add the middleware; the last one added is the outermost."""
    upload = config.max_file_bytes + config.max_body_bytes
    limits = BodyLimits(upload=upload, other=config.max_body_bytes, timeout=config.body_timeout)
    app.add_middleware(BodyLimitMiddleware, limits=limits)
    app.add_middleware(ResumableProtocol)
    app.add_middleware(Hosts, allowed=config.allowed_hosts)
    if config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=_READABLE,
        )
    app.add_middleware(RequestLog)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestTurns)
    app.add_middleware(Proxies, trusted=config.trusted_proxies, root_path=config.root_path)
