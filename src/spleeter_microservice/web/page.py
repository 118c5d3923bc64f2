"""The page for people: static files, which call the API with the key that the visitor enters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from spleeter_microservice.web.downloads.conditional import is_known

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Content security policy of the page: nothing from elsewhere, and nothing inline."""
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class _File:
    """A file of the page, held in memory."""

    def __init__(self, name: str, content: bytes) -> None:
        self._content = content
        self._type = _TYPES[name.rpartition(".")[2]]
        self._headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "Cache-Control": "no-cache",  # asks again each time, so that a new version is one at once
            "Content-Security-Policy": POLICY,
        }

    def answer(self, request: Request) -> Response:
        """Answer with the file, unless the client has it."""
        if is_known(request.headers.get("If-None-Match"), self._headers["ETag"]):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers, media_type=self._type)


def _read() -> Mapping[str, _File]:
    folder = resources.files(__package__) / "static"
    return {file.name: _File(file.name, file.read_bytes()) for file in folder.iterdir()}


_FILES = _read()


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Give the page."""
    return _FILES["index.html"].answer(request)


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def file(request: Request, name: str) -> Response:
    """Give a file that the page needs."""
    if name not in _FILES:
        raise HTTPException(404)
    return _FILES[name].answer(request)
