"""Every route has security headers, host checks, ids, logs and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from fastapi.responses import Response, StreamingResponse
from prometheus_client import REGISTRY
from starlette.requests import ClientDisconnect

from spleeter_microservice.errors import DatabaseUnavailableError
from spleeter_microservice.web import problem_handler
from spleeter_microservice.web.middleware.allowed_hosts import Hosts
from spleeter_microservice.web.middleware.request_log import CLIENT_CLOSED_REQUEST, RequestLog
from spleeter_microservice.web.middleware.security_headers import HEADERS, SecurityHeaders

pytestmark = pytest.mark.asyncio


def application(*allowed: str) -> FastAPI:
    app = FastAPI()
    problem_handler.install(app)

    @app.get("/things/{name}")
    async def thing(name: str) -> str:
        if name == "broken":
            raise RuntimeError("/srv/secret")
        if name == "away":
            raise DatabaseUnavailableError("10.0.0.5")
        if name == "left":
            raise ClientDisconnect
        return name

    @app.get("/health/live")
    async def live() -> str:
        return "alive"

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("broken")

        return StreamingResponse(parts())

    @app.get("/page")
    async def page() -> Response:
        return Response(headers={"Cache-Control": "private", "Content-Security-Policy": "default-src 'self'"})

    app.add_middleware(Hosts, allowed=allowed or ("*",))
    app.add_middleware(RequestLog)
    app.add_middleware(SecurityHeaders)
    return app


async def get(path: str, *allowed: str, scheme: str = "http", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(application(*allowed))
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://api.example") as client:
        return await client.get(path, headers=fields)


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


@pytest.mark.parametrize("path", ["/things/a", "/nothing", "/things/broken", "/things/away"])
async def test_every_response_has_the_security_headers_and_an_id(path: str) -> None:
    answer = await get(path)
    assert answer.headers["x-request-id"]
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "strict-transport-security" not in answer.headers


async def test_a_response_may_set_its_own_policy() -> None:
    headers = (await get("/page")).headers
    assert (headers["cache-control"], headers["content-security-policy"]) == ("private", "default-src 'self'")


async def test_a_half_sent_response_is_aborted_and_logged() -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(RuntimeError):
        await get("/half")
    assert [line["event"] for line in logs] == ["response interrupted", "request"]


async def test_over_tls_browsers_are_told_to_keep_using_it() -> None:
    assert (await get("/things/a", scheme="https")).headers["strict-transport-security"]


@pytest.mark.parametrize("given", ["r-1", "a" * 128, "0190c3f2-a1b8-7d3e-8f4b-5c6d7e8f9a0b", "A1b+c/d=="])
async def test_a_sensible_id_is_kept(given: str) -> None:
    assert (await get("/things/a", X_Request_ID=given)).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", " ", "a b", "a" * 129, "-a", 'a"b', "a,b", "<script>"])
async def test_another_id_is_replaced(given: str) -> None:
    made = (await get("/things/a", X_Request_ID=given)).headers["x-request-id"]
    assert len(made) == 32
    assert made != (await get("/things/a")).headers["x-request-id"]


async def test_an_unexpected_error_appears_only_in_the_log() -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await get("/things/broken", X_Request_ID="r-2")
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "r-2"
    assert "secret" not in answer.text
    assert "secret" in repr(logs[0]["exc_info"])


async def test_each_request_is_logged_in_one_line() -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await get("/things/a?secret=b", X_Request_ID="r-3")
    (line,) = logs
    assert 0 < line.pop("seconds") < 600
    assert line == {
        "event": "request", "log_level": "info", "method": "GET", "route": "/things/{name}",
        "path": "/things/a", "status": 200, "tenant": None, "request_id": "r-3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/things/a", "/things/{name}", "200"),
        ("/things/away", "/things/{name}", "503"),
        ("/things/left", "/things/{name}", str(CLIENT_CLOSED_REQUEST)),
        ("/nothing/123", "unknown", "404"),
    ],
)
async def test_each_request_is_counted_by_its_route(path: str, route: str, status: str) -> None:
    labels = {"method": "GET", "route": route, "status": status}
    before = sample("spleeter_requests_total", **labels)
    timed = sample("spleeter_request_latency_seconds_count", method="GET", route=route)
    if path.endswith("left"):
        with pytest.raises(AssertionError):  # of a client that gets no answer
            await get(path)
    else:
        await get(path)
    assert sample("spleeter_requests_total", **labels) == before + 1
    assert sample("spleeter_request_latency_seconds_count", method="GET", route=route) == timed + 1


async def test_errors_are_counted_by_their_problem() -> None:
    before = sample("spleeter_errors_total", type="database-unavailable")
    await get("/things/away")
    assert sample("spleeter_errors_total", type="database-unavailable") == before + 1


async def test_an_unknown_method_is_not_used_as_a_label() -> None:
    before = sample("spleeter_requests_total", method="other", route="/things/{name}", status="405")
    transport = httpx.ASGITransport(application())
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        assert (await client.request("BREW", "/things/a")).status_code == 405
    assert (
        sample("spleeter_requests_total", method="other", route="/things/{name}", status="405") == before + 1
    )


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ("*", "anything", 200),
        ("api.example", "api.example", 200),
        ("api.example", "API.example:8000", 200),
        ("api.example", "api.example.", 200),
        ("api.example", "evil.example", 421),
        ("api.example", "api.example.evil", 421),
        ("api.example", "", 421),
        ("*.example.com", "a.example.com", 200),
        ("*.example.com", "example.com", 421),
        ("*.example.com", "evilexample.com", 421),
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("[::1]", "[::1]:8000", 200),
        ("[::1]", "[::1]", 200),
    ],
)
async def test_only_allowed_hosts_are_served(allowed: str, host: str, status: int) -> None:
    answer = await get("/things/a", allowed, Host=host)
    assert answer.status_code == status
    if status == 421:
        assert answer.json()["type"] == "/problems/wrong-host"


async def test_health_checks_are_served_under_any_host() -> None:
    assert (await get("/health/live", "api.example", Host="10.0.0.7:8000")).status_code == 200


@pytest.mark.parametrize("allowed", ["*", "api.example"])
@pytest.mark.parametrize("hosts", [[], ["api.example", "api.example"]])
async def test_a_missing_or_repeated_host_is_malformed(hosts: list[str], allowed: str) -> None:
    statuses: list[Any] = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    async def receive() -> Any:
        raise AssertionError

    headers = [(b"host", host.encode()) for host in hosts]
    scope = {"type": "http", "method": "GET", "path": "/things/a", "scheme": "http", "headers": headers}
    await application(allowed)({**scope, "http_version": "1.1"}, receive, send)
    assert statuses[0] == 400
