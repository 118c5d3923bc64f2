"""The application: routes, and what lies around all of them."""

from __future__ import annotations

from fastapi import FastAPI

from spleeter_microservice.web import downloads, errors, events
from spleeter_microservice.web.notices import listening
from spleeter_microservice.web.request_log import RequestLog
from spleeter_microservice.web.services import Services


def create_app(services: Services) -> FastAPI:
    """Make the application; the services stay their maker's to open and close."""
    app = FastAPI(
        title="spleeter-microservice",
        version=services.version or "0",
        docs_url=None,  # its page would load scripts from elsewhere, which our headers forbid
        redoc_url=None,
        redirect_slashes=False,
        lifespan=listening,
    )
    app.state.services = services
    errors.install(app)
    for part in (downloads, events):
        app.include_router(part.router)
    app.add_middleware(RequestLog)
    return app
