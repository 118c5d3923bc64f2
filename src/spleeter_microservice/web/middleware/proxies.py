"""ASGI middleware for the headers with which proxies say who calls, and under which path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar

import structlog
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from spleeter_microservice.observability.logs import Seldom

_DAY = 86_400.0  # seconds
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
ROOT_PATH: ContextVar[str] = ContextVar("ROOT_PATH", default="")
"""Path under which a proxy serves the service to the current request; links begin with it."""

logger = structlog.get_logger(__name__)


class Proxies:
    """Middleware that sets the client's address, the scheme and the root path.

    A proxy may remove the root path from the requests that it forwards, or leave it; routes see paths
    without it.

    Args:
        app: the application inside.
        trusted: addresses and networks of proxies; the headers of all others are ignored.
        root_path: the root path, unless a trusted proxy sends ``X-Forwarded-Prefix``.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str], root_path: str) -> None:
        self._forwarded = ProxyHeadersMiddleware(app, list(trusted))  # type: ignore[arg-type]
        self._root_path = root_path
        self._may_warn = Seldom(_DAY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; the lifespan passes through."""
        if scope["type"] == "http":
            self._warn_of_unknown_proxy(scope)
            root = self._root_path_of(scope)
            ROOT_PATH.set(root)
            path = scope["path"]
            if root and f"{path}/".startswith(f"{root}/"):
                path = path.removeprefix(root)
            if not path:  # the links of the page are relative to its folder
                await RedirectResponse(f"{root}/")(scope, receive, send)
                return
            scope = {**scope, "root_path": root, "path": path}
        await self._forwarded(scope, receive, send)  # type: ignore[arg-type]

    def _warn_of_unknown_proxy(self, scope: Scope) -> None:
        if "X-Forwarded-For" in Headers(scope=scope) and not self._is_trusted(scope) and self._may_warn():
            logger.warning(
                "X-Forwarded-For ignored: if the sender is your proxy, add it to SPLEETER_TRUSTED_PROXIES; "
                "until then, all its clients count as one address",
                sender=_peer(scope),
            )

    def _is_trusted(self, scope: Scope) -> bool:
        return _peer(scope) in self._forwarded.trusted_hosts

    def _root_path_of(self, scope: Scope) -> str:
        sent = Headers(scope=scope).get("X-Forwarded-Prefix", "").rstrip("/")
        if sent and _PREFIX.fullmatch(sent) and self._is_trusted(scope):
            return sent
        return self._root_path


def _peer(scope: Scope) -> str:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else ""
