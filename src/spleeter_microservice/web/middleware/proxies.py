"""ASGI middleware for the headers with which proxies say who calls, and under which path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+", re.ASCII)
ROOT_PATH: ContextVar[str] = ContextVar("ROOT_PATH", default="")
"""Path under which a proxy serves the service to the current request; links begin with it."""


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; the lifespan passes through."""
        if scope["type"] == "http":
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

    def _root_path_of(self, scope: Scope) -> str:
        sent = Headers(scope=scope).get("X-Forwarded-Prefix", "").rstrip("/")
        client = (scope.get("client") or ("",))[0]
        if sent and _PREFIX.fullmatch(sent) and client in self._forwarded.trusted_hosts:
            return sent
        return self._root_path
