"""A span of each request, as ASGI middleware; only there when there are traces."""

from __future__ import annotations

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spleeter_microservice.observability.tracing import Span, span

_UNANSWERED = 499  # as ``request_log`` has it
_SERVERS_FAULT = 500


class Traces:
    """Tells of requests as spans; every line logged meanwhile has the trace's id.

    Args:
        app: the application around which it lies, which notes route and request id in the scope.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; other things, such as the lifespan, pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = _UNANSWERED

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = Headers(scope=scope).get("traceparent")
        with span("request", "server", {"http.request.method": scope["method"]}, parent) as told:
            with structlog.contextvars.bound_contextvars(trace_id=_trace_id(told)):
                await self.app(scope, receive, send_seen)
            _note(told, scope, status)


def _trace_id(told: Span) -> str | None:
    return told.traceparent.split("-")[1] if told.traceparent else None


def _note(told: Span, scope: Scope, status: int) -> None:
    route = getattr(scope.get("route"), "path", None)
    named = {"http.route": route, "http.response.status_code": status}
    told.note(named | {"spleeter.request_id": scope["state"]["request_id"]})
    if status >= _SERVERS_FAULT:
        told.fail(str(status))
