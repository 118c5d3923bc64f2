"""The OpenAPI document: the framework's, with what it cannot know added."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from spleeter_microservice.web.openapi.examples import SUCCEEDED, WAITING
from spleeter_microservice.web.openapi.responses import BODIES
from spleeter_microservice.web.separations.schemas import ProblemDocument

DESCRIPTION = """\
Separates songs into stems, with the networks of Deezer's Spleeter.

Submit a song, follow its separation by polling or by server-sent events, and download the stems.
Everything about it is erased when its time is over, or when you delete it.

Send your key with every request, as `X-API-KEY` or as `Authorization: Bearer`. Errors are
`application/problem+json` (RFC 9457) with a stable `type`; every answer has `X-Request-ID`.
"""
TAGS = [
    {"name": "separations", "description": "Songs on their way to stems."},
    {"name": "results", "description": "Stems, archives and peaks of separations that succeeded."},
    {"name": "models", "description": "What separates."},
    {"name": "operation", "description": "For orchestrators and Prometheus."},
]
_REQUEST_ID = {
    "description": "The request's id: yours, if you sent one, else one that was made up.",
    "schema": {"type": "string"},
}


def describe(app: FastAPI) -> None:
    """Have an application give its OpenAPI document, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI documents


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="Separates songs into stems.",
        description=DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        tags=TAGS,
        routes=app.routes,
    )
    schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document["components"]["schemas"]
    schemas |= schema.pop("$defs") | {"ProblemDocument": schema} | BODIES
    schemas["Separation"]["examples"] = [WAITING, SUCCEEDED]  # here, as the framework drops what is null
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path in document["paths"].values():
        for operation in path.values():
            _add_request_id(operation)
    return document


def _add_request_id(operation: dict[str, Any]) -> None:
    for answer in operation["responses"].values():
        answer.setdefault("headers", {})["X-Request-ID"] = _REQUEST_ID
