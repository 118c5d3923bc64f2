"""Errors as callers see them: ``application/problem+json`` (RFC 9457), and nothing internal."""

from __future__ import annotations

import math
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

from spleeter_microservice.errors import (
    AuthenticationError,
    CredentialsError,
    InvalidFieldsError,
    InvalidTokenError,
    MissingScopeError,
    SeparationFailedError,
    SpleeterError,
)
from spleeter_microservice.observability.metrics import ERRORS
from spleeter_microservice.web.problem_catalogue import (
    HTTP_PROBLEMS,
    INTERNAL,
    Problem,
    problem_of,
    problem_of_failure,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MEDIA_TYPE = "application/problem+json"
logger = structlog.get_logger(__name__)


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = MEDIA_TYPE


def problem_response(scope: Scope, error: Exception) -> ProblemResponse:
    """Give the answer to a request that an error ended, count it, and log what is not the caller's doing."""
    problem = _problem(error)
    ERRORS.labels(problem.name).inc()
    if problem.status >= 500:
        logger.error("request failed", problem=problem.name, exc_info=error)
    return ProblemResponse(_document(scope, problem, error), problem.status, _headers(problem, error))


def _problem(error: Exception) -> Problem:
    if isinstance(error, SeparationFailedError):
        return problem_of_failure(error.type)
    if isinstance(error, SpleeterError):
        return problem_of(type(error))
    if isinstance(error, HTTPException):
        return HTTP_PROBLEMS.get(error.status_code, INTERNAL)
    return INTERNAL


def _document(scope: Scope, problem: Problem, error: Exception) -> dict[str, Any]:
    document = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or str(error),
        "instance": scope["path"],
        "request_id": scope.get("state", {}).get("request_id", ""),
    }
    if isinstance(error, InvalidFieldsError):
        document["errors"] = [{"field": field, "reason": reason} for field, reason in error.fields.items()]
    return document


def _headers(problem: Problem, error: Exception) -> dict[str, str]:
    headers = dict(getattr(error, "headers", None) or {})
    retry_after = getattr(error, "retry_after", problem.retry_after)
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
    challenge = _challenge(error)
    return headers | ({"WWW-Authenticate": challenge} if challenge else {})


def _challenge(error: Exception) -> str | None:
    """Say what credentials are wanted (RFC 6750, section 3)."""
    bearer = 'Bearer realm="spleeter-microservice"'
    if isinstance(error, MissingScopeError):
        return f'{bearer}, error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, InvalidTokenError):
        return f'{bearer}, error="invalid_token"'
    if isinstance(error, AuthenticationError | CredentialsError):
        return f'{bearer}, ApiKey header="X-API-KEY"'
    return None


def install(app: FastAPI) -> None:
    """Have an application answer errors with problem documents."""
    app.add_exception_handler(SpleeterError, _handle)
    app.add_exception_handler(HTTPException, _handle)
    app.add_exception_handler(RequestValidationError, _handle_invalid)


async def _handle(request: Request, error: Exception) -> ProblemResponse:
    response = problem_response(request.scope, error)
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(_methods(request))
    return response


def _methods(request: Request) -> list[str]:
    """Give the methods that the path has, not only those of its first route, which the framework names."""
    scope = {key: value for key, value in request.scope.items() if key != "fastapi"}
    routes: list[BaseRoute] = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _handle_invalid(request: Request, error: Exception) -> ProblemResponse:
    found = cast(RequestValidationError, error).errors()
    # The first part of a location is that of the request: path, query, header.
    within = [{**item, "loc": item["loc"][1:] or item["loc"]} for item in found]
    return problem_response(request.scope, invalid_fields(within))


def invalid_fields(found: Iterable[Mapping[str, Any]]) -> InvalidFieldsError:
    """Give the error for what Pydantic found wrong, without any of the values."""
    return InvalidFieldsError({".".join(map(str, item["loc"])): _reason(item) for item in found})


def _reason(item: Mapping[str, Any]) -> str:
    return f"{str(item['msg']).removeprefix('Value error, ').removesuffix('.')}."
