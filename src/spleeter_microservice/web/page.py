"""The web page: static files that call the API with the key that the visitor enters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.web.downloads.conditional import is_known
from spleeter_microservice.web.middleware.security_headers import NOTHING_ALLOWED

router = APIRouter(include_in_schema=False)

_OWN = "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src blob:"
POLICY = f"{NOTHING_ALLOWED}; {_OWN}"
"""Content security policy of the page: same origin only, and nothing inline."""
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}


class File:
    """A file that is kept in memory."""

    def __init__(self, name: str, content: bytes, policy: str = POLICY) -> None:
        self._content = content
        self._type = _TYPES[name.rpartition(".")[2]]
        self._headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "Cache-Control": "no-cache",  # revalidate each time, so that a new version shows at once
            "Content-Security-Policy": policy,
        }

    def response(self, request: Request) -> Response:
        """Return the file, or 304 if the client has it."""
        if is_known(request.headers.get("If-None-Match"), self._headers["ETag"]):
            return Response(status_code=304, headers=self._headers)
        return Response(self._content, headers=self._headers, media_type=self._type)


def _stem_choices() -> str:
    """Return the choices of how many stems to separate, the smallest number checked."""
    by_count = CATALOGUE.by_stem_count()
    return "\n        ".join(
        f'<label class="choice"><input type="radio" name="stems" value="{count}"'
        f"{' checked' if count == min(by_count) else ''}> <span><strong>{count}</strong> "
        f'{", ".join(entry.stems)} <small data-stems="{count}"></small></span></label>'
        for count, entry in by_count.items()
    )


def _read() -> Mapping[str, File]:
    folder = resources.files(__package__) / "static"
    contents = {file.name: file.read_bytes() for file in folder.iterdir()}
    contents["index.html"] = contents["index.html"].replace(b"<!-- stems -->", _stem_choices().encode())
    return {name: File(name, content) for name, content in contents.items()}


_FILES = _read()


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Return the page."""
    return _FILES["index.html"].response(request)


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def file(request: Request, name: str) -> Response:
    """Return a file of the page."""
    if name not in _FILES:
        raise HTTPException(404)
    return _FILES[name].response(request)
