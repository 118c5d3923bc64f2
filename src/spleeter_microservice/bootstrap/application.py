"""The API as an ASGI application that opens its services when the server starts."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from spleeter_microservice.bootstrap.api import open_services
from spleeter_microservice.bootstrap.shared import PROGRAM_VERSION
from spleeter_microservice.observability.tracing import configure_tracing
from spleeter_microservice.settings import Settings
from spleeter_microservice.web.app import create_app

logger = logging.getLogger(__name__)


class Application:
    """The application of ``web.app``, whose services are opened in the server's event loop.

    Args:
        settings: settings of the process.

    Attributes:
        failure: error because of which the API cannot run, if any.
        end: called with that error; stops the server.
    """

    def __init__(self, settings: Settings) -> None:
        self.failure: Exception | None = None
        self.end: Callable[[Exception], None] = lambda _: signal.raise_signal(signal.SIGTERM)
        self._settings = settings
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or the start and stop of the server."""
        if scope["type"] == "lifespan":
            with suppress(asyncio.CancelledError):  # a second signal cancels everything at once
                await self._run_lifespan(receive, send)
        else:
            assert self._app is not None, "servers start the lifespan first"
            await self._app(scope, receive, send)

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                configure_tracing(self._settings.otlp_endpoint, "api", PROGRAM_VERSION)
                services = await stack.enter_async_context(open_services(self._settings, self._fail))
                app = create_app(services)
                await stack.enter_async_context(app.router.lifespan_context(app))
            except Exception as error:
                self._fail(error)
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            self._app = app
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def _fail(self, error: Exception) -> None:
        self.failure = error
        logger.error("the API cannot run: %s", error)
        self.end(error)
