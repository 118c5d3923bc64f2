"""One log line, one id and the metrics of each request, as ASGI middleware."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spleeter_microservice.observability.metrics import REQUEST_LATENCY, REQUESTS
from spleeter_microservice.observability.tracing import name_request
from spleeter_microservice.web.problem_handler import METHODS, problem_response

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/=-]{0,127}", re.ASCII)
UNKNOWN_ROUTE = "unknown"
"""Stands for every path without a route, so that strangers cannot make up labels of metrics."""
CLIENT_WENT = 499
"""Stands for the status of requests whose clients went away before there was an answer."""
logger = structlog.get_logger(__name__)


class RequestLog:
    """Names, measures and logs requests; answers what nobody else caught.

    Args:
        app: the application around which it lies.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; other things, such as the lifespan, pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        with structlog.contextvars.bound_contextvars(**name_request(request_id)):
            await self._handle(scope, receive, send, request_id)

    async def _handle(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_named)
        except ClientDisconnect:
            status = status or CLIENT_WENT
        except Exception as error:
            if status:
                logger.exception("answer broken off")
                raise  # half an answer cannot be mended; the server closes the connection
            await problem_response(scope, error)(scope, receive, send_named)
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
        path=scope["path"],
        status=status or None,
        seconds=round(seconds, 6),
        tenant=principal.tenant if principal else None,
    )
