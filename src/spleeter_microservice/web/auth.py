"""Authentication of requests by API keys and bearer tokens, and the scopes that routes need.

A key may be sent as ``X-API-KEY`` or, for clients that support no other header, as ``Authorization: Bearer``.
If the operator has configured an issuer, a bearer of three parts is a token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from spleeter_microservice import errors
from spleeter_microservice.access.principal import Principal, Scope
from spleeter_microservice.audit.record import Action
from spleeter_microservice.web import rate_fields
from spleeter_microservice.web.audit import LONGEST_PATH, client_of, record
from spleeter_microservice.web.services import Services, ServicesDep

logger = structlog.get_logger(__name__)
_KEY = APIKeyHeader(
    name="X-API-KEY",
    scheme_name="ApiKey",
    description="A key that `spleeter-microservice keys create` printed, or one of `SPLEETER_API_KEY`.",
    auto_error=False,
)
_BEARER = HTTPBearer(
    scheme_name="Bearer",
    bearerFormat="JWT",
    description="A token of the issuer that the operator has set up, or an API key.",
    auto_error=False,
)
_FULL_STOPS_OF_A_TOKEN = 2


async def authenticate(
    request: Request,
    services: ServicesDep,
    key: Annotated[str | None, Security(_KEY)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Principal:
    """Return the caller of a request.

    Raises:
        CredentialsError: if the request has no credentials, or several that differ.
        AuthenticationError: if the credentials are not valid.
        RateLimitError: if too many attempts from this address failed, or the tenant sent too many requests.
    """
    text = _credentials(request, bearer)
    try:
        principal = await _verify(services, text, is_bearer=key is None)
    except errors.AuthenticationError as error:
        await _count_failure(request, services, error)
        raise
    request.state.principal = principal
    request.state.allowance = await rate_fields.take(request, services.requests, principal.tenant)
    return principal


def _credentials(request: Request, bearer: HTTPAuthorizationCredentials | None) -> str:
    given = {*request.headers.getlist("X-API-KEY")} | ({bearer.credentials} if bearer else set())
    if not given:
        raise errors.CredentialsError(
            "The request has no key. Send one as X-API-KEY, or as Authorization: Bearer."
        )
    if len(given) > 1:
        raise errors.CredentialsError("The request has several credentials that differ. Send one.")
    return given.pop()


async def _verify(services: Services, text: str, *, is_bearer: bool) -> Principal:
    if is_bearer and services.tokens and text.count(".") == _FULL_STOPS_OF_A_TOKEN:
        return await services.tokens.verify(text)
    return await services.keys.verify(text)


async def _count_failure(request: Request, services: Services, error: errors.AuthenticationError) -> None:
    await rate_fields.take(request, services.attempts, client_of(request))
    if isinstance(error, errors.InvalidTokenError):
        logger.warning("token refused", problem=error.problem)
    reason = getattr(error, "reason", "")
    await record(request, Action.AUTHENTICATION_FAILED, "refused", reason=reason, path=_path(request))


def _path(request: Request) -> str:
    path: str = request.scope["path"]
    return path[:LONGEST_PATH]


Caller = Annotated[Principal, Depends(authenticate)]
"""A route's parameter: the caller, whatever the scopes."""


def needing(scope: Scope) -> Callable[..., Awaitable[Principal]]:
    """Return the dependency of routes that need a scope."""

    async def check(request: Request, caller: Caller) -> Principal:
        if scope not in caller.scopes:
            denied = {"scope": str(scope), "path": _path(request)}
            await record(request, Action.ACCESS_DENIED, "refused", **denied)
            raise errors.MissingScopeError(
                f"These credentials lack the scope '{scope}'. Use a key or token that has it.", scope
            )
        return caller

    return check


CanRead = Annotated[Principal, Depends(needing(Scope.READ))]
"""A route's parameter: a caller who may read separations."""
CanSubmit = Annotated[Principal, Depends(needing(Scope.SEPARATE))]
"""A route's parameter: a caller who may submit, cancel and erase separations."""
