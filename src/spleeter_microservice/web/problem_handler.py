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
from spleeter_microservice.web.problem_catalogue import HTTP_PROBLEMS, Problem, problem_of, problem_of_failure

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MEDIA_TYPE = "application/problem+json"
logger = structlog.get_logger(__name__)


class ProblemResponse(JSONResponse):
    """A response whose body is a problem document."""

    media_type = MEDIA_TYPE


def problem_response(scope: Scope, error: Exception) -> ProblemResponse:
    """Return the response to a failed request, count the error, and log it if the service is at fault."""
    problem = _problem(error)
    ERRORS.labels(problem.code).inc()
    if problem.http >= 500 and not isinstance(error, errors.StoppingError):
        unexpected = error if problem.code == errors.SpleeterError.code else None
        logger.error("request failed", problem=problem.code, reason=str(error), exc_info=unexpected)
    return ProblemResponse(_document(scope, problem, error), problem.http, _headers(problem, error))


def _problem(error: Exception) -> Problem:
    if isinstance(error, errors.SeparationFailedError):
        return problem_of_failure(error.type)
    if isinstance(error, HTTPException) and error.status_code in HTTP_PROBLEMS:
        return HTTP_PROBLEMS[error.status_code]
    return problem_of(type(error) if isinstance(error, errors.SpleeterError) else errors.SpleeterError)


def _document(scope: Scope, problem: Problem, error: Exception) -> dict[str, Any]:
    document = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.http,
        "detail": problem.public or str(error),
        "instance": scope.get("root_path", "") + scope["path"],
        "request_id": scope.get("state", {}).get("request_id", ""),
    }
    if isinstance(error, errors.InvalidKeyError):
        document["reason"] = error.reason
    if isinstance(error, errors.SpleeterError) and error.fields:
        document["errors"] = [{"field": field, "reason": reason} for field, reason in error.fields.items()]
    return document


def _headers(problem: Problem, error: Exception) -> dict[str, str]:
    headers = dict(getattr(error, "headers", None) or {})
    retry_after = getattr(error, "retry_after", 0) or problem.retry_after
    if retry_after:
        headers["Retry-After"] = str(retry_after)
    challenge = _challenge(error)
    return headers | ({"WWW-Authenticate": challenge} if challenge else {})


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
