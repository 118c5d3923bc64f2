"""Behind a proxy, callers see its address and path, and only trusted proxies decide on them."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from spleeter_microservice.observability import logs
from spleeter_microservice.web.middleware.proxies import ROOT_PATH, Proxies
from tests.support.logs import logged

pytestmark = pytest.mark.asyncio

PROXY = "10.1.2.3"


async def get(path: str, root_path: str = "", client: str = PROXY, **headers: str) -> httpx.Response:
    app = FastAPI(docs_url=None, redirect_slashes=False)

    @app.get("/")
    @app.get("/v1/models")
    async def seen(request: Request) -> list[str]:
        assert request.client is not None
        return [request.scope["path"], ROOT_PATH.get(), request.client.host, request.url.scheme]

    app.add_middleware(Proxies, trusted=["10.1.0.0/16"], root_path=root_path)
    transport = httpx.ASGITransport(app, client=(client, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as caller:
        return await caller.get(
            path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )


@pytest.mark.parametrize(
    ("path", "root_path", "prefix", "expected"),
    [
        ("/v1/models", "", "", ["/v1/models", ""]),
        ("/v1/models", "/stems", "", ["/v1/models", "/stems"]),  # the proxy has removed the prefix
        ("/stems/v1/models", "/stems", "", ["/v1/models", "/stems"]),  # the proxy has left it
        ("/v1/models", "", "/stems/", ["/v1/models", "/stems"]),
        ("/a/b/v1/models", "/stems", "/a/b", ["/v1/models", "/a/b"]),  # the proxy knows better
        ("/v1/models", "", "//evil.example", ["/v1/models", ""]),
        ("/v1/models", "", "/a?b", ["/v1/models", ""]),
        ("/stems/", "/stems", "", ["/", "/stems"]),
    ],
)
async def test_routes_see_paths_without_the_prefix(
    path: str, root_path: str, prefix: str, expected: list[str]
) -> None:
    answer = await get(path, root_path, X_Forwarded_Prefix=prefix)
    assert answer.json()[:2] == expected


async def test_a_path_that_only_begins_with_the_same_letters_is_another() -> None:
    assert (await get("/stemsv1/models", "/stems")).status_code == 404


async def test_the_page_without_its_slash_is_redirected() -> None:
    answer = await get("/stems", "/stems")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/stems/")


@pytest.mark.parametrize(
    ("client", "expected"),
    [(PROXY, ["/stems", "203.0.113.9", "https"]), ("10.2.0.1", ["", "10.2.0.1", "http"])],
    ids=["trusted", "stranger"],
)
async def test_only_trusted_proxies_are_believed(client: str, expected: list[str]) -> None:
    forwarded = {
        "X_Forwarded_Prefix": "/stems",
        "X_Forwarded_For": "203.0.113.9",
        "X_Forwarded_Proto": "https",
    }
    assert (await get("/v1/models", client=client, **forwarded)).json()[1:] == expected


async def test_a_sender_that_is_not_a_trusted_proxy_is_named_in_the_log_once_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("")(scope, receive, send)

    now = [1.0]
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    proxies = Proxies(answer, ["10.1.0.0/16"], "")
    with logged("info") as log:
        for hours in (0, 1, 23.9, 24.1):
            now[0] = 1 + hours * 3600
            for client in (PROXY, "10.2.0.1"):
                transport = httpx.ASGITransport(proxies, client=(client, 1))
                async with httpx.AsyncClient(transport=transport, base_url="http://service") as caller:
                    await caller.get("/", headers={"X-Forwarded-For": "203.0.113.9"})
    lines = [line for line in log.getvalue().splitlines() if "X-Forwarded-For ignored" in line]
    assert len(lines) == 2
    assert all("10.2.0.1" in line for line in lines)
