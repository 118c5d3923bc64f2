"""Responses to failed requests, as ``application/problem+json`` (RFC 9457), without anything internal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from spleeter_microservice import errors
from spleeter_microservice.observability.metrics import ERRORS

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MEDIA_TYPE = "application/problem+json"
logger = structlog.get_logger(__name__)


class ProblemResponse(JSONResponse):
    """A response whose body is a problem document."""

    media_type = MEDIA_TYPE


_OF_FRAMEWORK: Mapping[int, errors.SpleeterError] = {
    400: errors.MalformedRequestError("The request cannot be parsed."),
    404: errors.UnknownPathError("Nothing exists at this path. Check the path."),
    405: errors.MethodNotAllowedError("The path does not allow this method. See Allow."),
    413: errors.RequestTooLargeError("The request has more bytes than the limit."),
    415: errors.UnsupportedTypeError("The body has a type that is not accepted."),
}
"""What the web framework itself refuses, by HTTP status."""


def title_of(error: errors.SpleeterError | type[errors.SpleeterError]) -> str:
    """Return the words that are the same for every occurrence of an error."""
    return error.title or error.code.replace("-", " ").capitalize()


def problem_response(scope: Scope, error: Exception) -> ProblemResponse:
    """Return the response to a failed request, count the error, and log it if the service is at fault."""
    known = _known(error)
    ERRORS.labels(known.code).inc()
    if known.http >= 500 and not isinstance(known, errors.StoppingError):
        unexpected = error if known.code == errors.SpleeterError.code else None
        logger.error("request failed", problem=known.code, reason=str(error), exc_info=unexpected)
    headers = dict(getattr(error, "headers", None) or {})
    if known.retry_after:
        headers["Retry-After"] = str(known.retry_after)
    if challenge := _challenge(known):
        headers["WWW-Authenticate"] = challenge
    return ProblemResponse(_document(scope, known), known.http, headers)


def _known(error: Exception) -> errors.SpleeterError:
    if isinstance(error, errors.SpleeterError):
        return error
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _OF_FRAMEWORK.get(status, errors.SpleeterError())


def _document(scope: Scope, error: errors.SpleeterError) -> dict[str, Any]:
    document = {
        "type": f"/problems/{error.code}",
        "title": title_of(error),
        "status": error.http,
        "detail": error.public or str(error),
        "instance": scope.get("root_path", "") + scope["path"],
        "request_id": scope.get("state", {}).get("request_id", ""),
    }
    if isinstance(error, errors.InvalidKeyError):
        document["reason"] = error.reason
    if error.fields:
        document["errors"] = [{"field": field, "reason": reason} for field, reason in error.fields.items()]
    return document


def _challenge(error: Exception) -> str | None:
    """Return the challenge that names the expected credentials (RFC 6750, section 3), if any are missing."""
    bearer = 'Bearer realm="spleeter-microservice"'
    if isinstance(error, errors.MissingScopeError):
        return f'{bearer}, error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, errors.InvalidTokenError):
        return f'{bearer}, error="invalid_token"'
    if isinstance(error, errors.AuthenticationError | errors.CredentialsError):
        return f'{bearer}, ApiKey header="X-API-KEY"'
    return None


def install(app: FastAPI) -> None:
    """Make an application respond to errors with problem documents."""
    app.add_exception_handler(errors.SpleeterError, _handle)
    app.add_exception_handler(HTTPException, _handle)
    app.add_exception_handler(RequestValidationError, _handle_invalid)


async def _handle(request: Request, error: Exception) -> ProblemResponse:
    response = problem_response(request.scope, error)
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """Return all methods of the path; the framework names only those of the path's first route."""
    scope = {key: value for key, value in request.scope.items() if key != "fastapi"}
    routes: list[BaseRoute] = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _handle_invalid(request: Request, error: Exception) -> ProblemResponse:
    found = cast(RequestValidationError, error).errors()
    # A location begins with the part of the request (path, query or header), which is not a field.
    within = [{**item, "loc": item["loc"][1:] or item["loc"]} for item in found]
    return problem_response(request.scope, invalid_fields(within))


def invalid_fields(found: Iterable[Mapping[str, Any]]) -> errors.InvalidFieldsError:
    """Return the error for what Pydantic found wrong, without any of the values."""
    return errors.InvalidFieldsError({".".join(map(str, item["loc"])): _reason(item) for item in found})


def _reason(item: Mapping[str, Any]) -> str:
    return f"{str(item['msg']).removeprefix('Value error, ').removesuffix('.')}."
