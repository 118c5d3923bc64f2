"""ASGI middleware that checks ``Host``, against DNS rebinding and forged links."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spleeter_microservice.errors import MalformedRequestError, RequestError, WrongHostError
from spleeter_microservice.web.problem_handler import problem_response

ANY = "*"
PROBED = ("/health", "/health/live", "/health/ready", "/health/serving", "/metrics")
"""Paths that are served under any host: orchestrators and Prometheus call machines by IP address."""


class Hosts:
    """Middleware that refuses requests for other hosts.

    Args:
        app: the application inside.
        allowed: host names, ``*.example.com`` for all subdomains, or ``*`` for any.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self.app = app
        self._allowed = [name.lower() for name in allowed]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        error = self._problem(scope) if scope["type"] == "http" else None
        if error is None:
            await self.app(scope, receive, send)
        else:
            await problem_response(scope, error)(scope, receive, send)

    def _problem(self, scope: Scope) -> RequestError | None:
        hosts = Headers(scope=scope).getlist("Host")
        open_to_all = ANY in self._allowed or scope["path"] in PROBED
        if len(hosts) != 1 and not (open_to_all and scope["http_version"] == "1.0"):  # RFC 9112, section 3.2
            return MalformedRequestError("The request must have one Host header.")
        if open_to_all or any(_matches(_name(hosts[0]), allowed) for allowed in self._allowed):
            return None
        return WrongHostError(
            "This service has other host names. Operators list them in SPLEETER_ALLOWED_HOSTS."
        )


def _name(host: str) -> str:
    """Return a host without its port: ``example.com``, ``192.0.2.1`` or ``[2001:db8::1]``."""
    name, colon, port = host.lower().rpartition(":")
    return (name if colon and port.isdecimal() else host.lower()).removesuffix(".")


def _matches(name: str, allowed: str) -> bool:
    return name.endswith(allowed[1:]) if allowed.startswith("*.") else name == allowed
