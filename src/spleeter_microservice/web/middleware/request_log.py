"""ASGI middleware that gives each request an id, a log line and metrics."""

from __future__ import annotations

import asyncio
import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spleeter_microservice.errors import StoppingError
from spleeter_microservice.observability.metrics import REQUEST_LATENCY, REQUESTS
from spleeter_microservice.observability.tracing import name_request
from spleeter_microservice.web.audit import LONGEST_PATH
from spleeter_microservice.web.problem_handler import METHODS, problem_response

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]{0,127}", re.ASCII)
UNKNOWN_ROUTE = "unknown"
"""Label of every path without a route, so that clients cannot create labels of metrics."""
CLIENT_CLOSED_REQUEST = 499
"""Status of requests whose clients disconnected before the response; nginx's name and number for it."""
logger = structlog.get_logger(__name__)


class RequestLog:
    """Middleware that logs and measures requests, and answers uncaught errors with a problem document.

    What is inside adds headers to the response in ``scope["state"]["headers"]``.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; other scopes, such as the lifespan, pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {}).update(request_id=request_id, headers={"X-Request-ID": request_id})
        with structlog.contextvars.bound_contextvars(**name_request(request_id)):
            await self._handle(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(scope["state"]["headers"])
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = status or CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:  # by the server, which is stopping and has waited for the grace period
            if not status:
                error = StoppingError("The service is stopping. Send the request again.")
                await problem_response(scope, error)(scope, receive, send_with_headers)
        except Exception as error:
            if status:
                logger.exception("response interrupted")
                raise  # a started response cannot be replaced; the server closes the connection
            await problem_response(scope, error)(scope, receive, send_with_headers)
        finally:
            _note(scope, status, time.perf_counter() - started)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("X-Request-ID", "")
    return given if _ID.fullmatch(given) else uuid4().hex


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
    method = scope["method"] if scope["method"] in METHODS else "other"
    REQUESTS.labels(method, route, str(status)).inc()
    REQUEST_LATENCY.labels(method, route).observe(seconds)
    principal = scope["state"].get("principal")
    logger.info(
        "request",
        method=method,
        route=route,
        path=scope["path"][:LONGEST_PATH],
        status=status or None,
        seconds=round(seconds, 6),
        tenant=principal.tenant if principal else None,
    )
