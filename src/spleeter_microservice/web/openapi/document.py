"""The OpenAPI document: the framework's, completed."""

from __future__ import annotations

import functools
import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from spleeter_microservice.web.middleware.proxies import ROOT_PATH
from spleeter_microservice.web.middleware.security_headers import NOTHING_ALLOWED
from spleeter_microservice.web.openapi.examples import SUCCEEDED, WAITING
from spleeter_microservice.web.openapi.responses import BODIES
from spleeter_microservice.web.page import File
from spleeter_microservice.web.separations.schemas import ProblemDocument

DESCRIPTION = """\
Separates songs into stems with the networks of Deezer's Spleeter.

Submit a song, follow its separation by polling or by server-sent events, and download the stems.
Everything about a separation is erased when it expires or when you delete it.

Send your key with every request, as `X-API-KEY` or `Authorization: Bearer`. Errors are
`application/problem+json` (RFC 9457) with a stable `type`; every response has `X-Request-ID`.
"""
TAGS = [
    {"name": "separations", "description": "Submit songs and follow their separation."},
    {"name": "uploads", "description": "Send songs in parts, with any client of tus 1.0."},
    {"name": "results", "description": "Download stems, archives and peaks."},
    {"name": "models", "description": "Models that can separate."},
    {"name": "operation", "description": "Health checks and metrics."},
]
_HEADERS = {
    "X-Request-ID": "Id of the request: yours if you sent one, otherwise a new one.",
    "RateLimit": "What is left of a rate: `r` more now, another one in `t` seconds.",
    "RateLimit-Policy": "The rate: `q` requests at once, all of them restored after `w` seconds.",
}


def describe(app: FastAPI) -> None:
    """Make an application serve its OpenAPI document, which is built and encoded once."""

    @functools.cache
    def document() -> dict[str, Any]:
        return _document(app)

    @functools.lru_cache(maxsize=16)
    def file(root_path: str) -> File:
        servers = [{"url": root_path}] if root_path else []
        shown = document() | {"servers": servers + document()["servers"]}
        return File("openapi.json", json.dumps(shown, separators=(",", ":")).encode(), NOTHING_ALLOWED)

    async def openapi(request: Request) -> Response:
        return file(ROOT_PATH.get()).response(request)

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI's documentation recommends
    app.add_route("/openapi.json", openapi, include_in_schema=False)


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary="Separates songs into stems.",
        description=DESCRIPTION,
        servers=[{"url": "/", "description": "The service that this document comes from."}],
        license_info={"name": "MIT", "identifier": "MIT"},
        tags=TAGS,
        routes=app.routes,
    )
    schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document["components"]["schemas"]
    schemas |= schema.pop("$defs") | {"ProblemDocument": schema} | BODIES
    schemas["Separation"]["examples"] = [WAITING, SUCCEEDED]  # set here, because the framework drops nulls
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["headers"] = {
        name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()
    }
    for path in document["paths"].values():
        for operation in path.values():
            _add_headers(operation)
    return document


def _add_headers(operation: dict[str, Any]) -> None:
    """Add the headers of every response, and those of responses to callers with a key."""
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "Tus-Resumable":  # whose lack is a problem of its own, not a missing field
            parameter |= {"required": True, "schema": parameter["schema"]["anyOf"][0] | parameter["schema"]}
            del parameter["schema"]["anyOf"]
    names = [name for name in _HEADERS if name == "X-Request-ID" or operation.get("security")]
    references = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    for response in operation["responses"].values():
        response["headers"] = references | response.get("headers", {})
