"""ASGI middleware for what the protocol of resumable uploads (tus 1.0) asks of every request and response."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

UPLOADS_PATH = "/v1/uploads"
PROTOCOL_VERSION = "1.0.0"
PART_TYPE = "application/offset+octet-stream"
"""Media type of a part of an upload."""
METHOD_OVERRIDE = "X-HTTP-Method-Override"


def is_resumable(scope: Scope) -> bool:
    """Return whether a request belongs to the protocol."""
    path: str = scope["path"]
    return path == UPLOADS_PATH or path.startswith(f"{UPLOADS_PATH}/")


class ResumableProtocol:
    """Middleware that names the protocol's version, and obeys ``X-HTTP-Method-Override``.

    Some proxies and old browsers send no PATCH.

    Args:
        app: the application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; other paths, and the lifespan, pass through."""
        if scope["type"] == "http" and is_resumable(scope):
            scope["state"]["headers"]["Tus-Resumable"] = PROTOCOL_VERSION
            scope["method"] = Headers(scope=scope).get(METHOD_OVERRIDE, scope["method"]).upper()
        await self.app(scope, receive, send)
