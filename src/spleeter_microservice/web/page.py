"""The web page: the files that Vite builds from ``page``, which call the API with the visitor's key."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from spleeter_microservice.web.downloads.conditional import is_known
from spleeter_microservice.web.middleware.security_headers import NOTHING_ALLOWED

router = APIRouter(include_in_schema=False)

_SCRIPTS = "script-src 'self' 'wasm-unsafe-eval'"  # the pitch shifter is WebAssembly
_OWN = "style-src 'self'; img-src 'self'; connect-src 'self'; media-src blob:"
POLICY = f"{NOTHING_ALLOWED}; {_SCRIPTS}; {_OWN}"
"""Content security policy of the page: same origin only, and nothing inline."""
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_REVALIDATED = "no-cache"  # each time, so that a new version shows at once
_IMMUTABLE = "public, max-age=31536000, immutable"  # their names have a hash of their content


class File:
    """A file that is kept in memory, compressed too."""

    def __init__(self, name: str, content: bytes, policy: str = POLICY, cache: str = _REVALIDATED) -> None:
        self._content = content
        self._compressed = gzip.compress(content, mtime=0)
        self._type = _TYPES[name.rpartition(".")[2]]
        self._headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
            "Cache-Control": cache,
            "Content-Security-Policy": policy,
            "Vary": "Accept-Encoding",
        }

    def response(self, request: Request) -> Response:
        """Return the file, or 304 if the client has it."""
        if is_known(request.headers.get("If-None-Match"), self._headers["ETag"]):
            return Response(status_code=304, headers=self._headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers = self._headers | {"Content-Encoding": "gzip"}
            return Response(self._compressed, headers=headers, media_type=self._type)
        return Response(self._content, headers=self._headers, media_type=self._type)


def _read(folder: Traversable, cache: str) -> Mapping[str, File]:
    if not folder.is_dir():  # a checkout whose page was not built
        return {}
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return {name: File(name, content, cache=cache) for name, content in files.items()}


_FOLDER = resources.files(__package__) / "static"
_ASSETS = _read(_FOLDER / "assets", _IMMUTABLE)
_INDEX = _read(_FOLDER, _REVALIDATED).get("index.html")


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Return the page."""
    if _INDEX is None:
        raise HTTPException(404, "The page is not built. Run: make page")
    return _INDEX.response(request)


@router.api_route("/assets/{name}", methods=["GET", "HEAD"])
async def file(request: Request, name: str) -> Response:
    """Return a file of the page."""
    if name not in _ASSETS:
        raise HTTPException(404)
    return _ASSETS[name].response(request)
