"""Who is calling: API keys and bearer tokens of requests, with what their owners may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from spleeter_microservice.errors import AuthenticationError, CredentialsError, MissingScopeError
from spleeter_microservice.security.audit_record import Action, Event
from spleeter_microservice.security.limits import client_name
from spleeter_microservice.security.principal import Principal, Scope
from spleeter_microservice.web.services import Live, Services

_KEY = APIKeyHeader(name="X-API-KEY", scheme_name="ApiKey", auto_error=False)
_BEARER = HTTPBearer(scheme_name="Bearer", bearerFormat="JWT or API key", auto_error=False)
_PARTS_OF_A_TOKEN = 3


async def authenticate(
    request: Request,
    services: Live,
    key: Annotated[str | None, Security(_KEY)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Principal:
    """Give the caller of a request.

    Raises:
        CredentialsError: when there are no credentials, or two that differ.
        AuthenticationError: when they open nothing.
        RateLimitError: when too many attempts from this address failed, or the tenant asked
            too often.
    """
    text = _credentials(request, key, bearer)
    client = client_of(request)
    await services.attempts.check(client)
    try:
        principal = await _verify(services, text, is_bearer=key is None)
    except AuthenticationError as error:
        await _refuse(request, services, error)
        raise
    request.state.principal = principal
    await services.requests.take(principal.tenant)
    return principal


def client_of(request: Request) -> str:
    """Give the name that the caller's address is counted and recorded under."""
    return client_name(request.client.host if request.client else "")


def _credentials(request: Request, key: str | None, bearer: HTTPAuthorizationCredentials | None) -> str:
    given = {*request.headers.getlist("X-API-KEY")} | ({bearer.credentials} if bearer else set())
    if not given:
        raise CredentialsError("This needs a key: send it as X-API-KEY, or as Authorization: Bearer.")
    if len(given) > 1:
        raise CredentialsError("The request has several credentials that differ. Send one.")
    return given.pop()


async def _verify(services: Services, text: str, *, is_bearer: bool) -> Principal:
    if is_bearer and services.tokens and len(text.split(".")) == _PARTS_OF_A_TOKEN:
        return await services.tokens.verify(text)
    return await services.keys.verify(text)


async def _refuse(request: Request, services: Services, error: AuthenticationError) -> None:
    reason = getattr(error, "reason", "")
    event = Event(
        Action.AUTHENTICATION_FAILED,
        "refused",
        client=client_of(request),
        request=request.state.request_id,
        details={"reason": reason, "path": request.url.path},
    )
    await services.audit.record(event)
    await services.attempts.take(client_of(request))


Caller = Annotated[Principal, Depends(authenticate)]
"""A route's parameter that is given whoever calls, whatever the caller may do."""


def needing(scope: Scope) -> Callable[..., Awaitable[Principal]]:
    """Give the dependency of routes that need a scope."""

    async def check(request: Request, services: Live, caller: Caller) -> Principal:
        try:
            caller.require(scope)
        except MissingScopeError:
            await services.audit.record(
                Event(
                    Action.ACCESS_DENIED,
                    "refused",
                    tenant=caller.tenant,
                    actor=caller.key_id,
                    client=client_of(request),
                    request=request.state.request_id,
                    details={"scope": scope, "path": request.url.path},
                )
            )
            raise
        return caller

    return check


Reader = Annotated[Principal, Depends(needing(Scope.READ))]
"""A caller who may see separations."""
Submitter = Annotated[Principal, Depends(needing(Scope.SEPARATE))]
"""A caller who may submit, cancel and erase separations."""
