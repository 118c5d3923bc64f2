"""Files of the page are sent compressed and kept by browsers; if they are missing, a sentence says why."""

import gzip

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from spleeter_microservice.web import page
from spleeter_microservice.web.page import POLICY, File

CONTENT = b"export const stems = 5;\n" * 50


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.anyio
async def test_a_file_is_sent_compressed_to_those_who_take_it_and_only_once() -> None:
    app, file = FastAPI(), File("page.js", CONTENT)

    @app.get("/page.js")
    async def route(request: Request) -> Response:
        return file.response(request)

    async with client(app) as http:
        plain = await http.get("/page.js", headers={"Accept-Encoding": "identity"})
        packed = await http.get("/page.js", headers={"Accept-Encoding": "br, gzip"})
        known = await http.get("/page.js", headers={"If-None-Match": plain.headers["ETag"]})
    assert plain.content == packed.content == CONTENT
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(gzip.compress(CONTENT)) < len(CONTENT)
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert known.status_code == 304
    assert known.headers["Content-Security-Policy"] == POLICY


@pytest.mark.anyio
async def test_a_checkout_without_the_page_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_INDEX", None)
    app = FastAPI()
    app.include_router(page.router)
    async with client(app) as http:
        answer = await http.get("/")
    assert answer.status_code == 404
    assert "make page" in answer.text


def test_the_policy_allows_nothing_inline_and_no_other_origin() -> None:
    assert "'unsafe" not in POLICY
    assert "http" not in POLICY
    assert "default-src 'none'" in POLICY
