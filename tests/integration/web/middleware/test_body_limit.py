"""Size and speed of requests are limited, on real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from fastapi import FastAPI, Request

from spleeter_microservice.web import problem_handler, server
from spleeter_microservice.web.middleware.body_limit import BodyLimitMiddleware, BodyLimits
from spleeter_microservice.web.middleware.request_log import RequestLog
from tests.support.raw_http import connected, request
from tests.support.web_service import served

pytestmark = pytest.mark.asyncio

LIMITS = BodyLimits(upload=3000, other=1000, timeout=60, rate=1e6, linger=1.0)
FORM = "multipart/form-data; boundary=x"


def application(limits: BodyLimits) -> FastAPI:
    app = FastAPI()
    problem_handler.install(app)

    @app.post("/read")
    @app.post("/separate")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.post("/ignore")
    async def ignore() -> str:
        return "x" * 10

    app.add_middleware(BodyLimitMiddleware, limits=limits)
    app.add_middleware(RequestLog)
    return app


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    async with served(application(LIMITS)) as address:
        yield address


async def test_a_body_up_to_the_limit_is_read_and_the_connection_kept(url: str) -> None:
    async with connected(url) as connection:
        for size in (0, 1, 1000):
            await connection.send(request("POST /read", Content_Length=size) + b"x" * size)
            status, headers, body = await connection.answer()
            assert (status, body, headers.get("connection")) == (200, str(size).encode(), None)


async def test_a_body_announced_too_large_is_refused_before_it_is_sent(url: str) -> None:
    async with connected(url) as connection:
        await connection.send(request("POST /read", Content_Length=1001))
        status, headers, body = await connection.answer()
        assert (status, headers["connection"]) == (413, "close")
        assert b"/problems/too-large" in body
        assert await connection.is_closed()


async def test_a_body_that_turns_out_too_large_is_refused_and_drained() -> None:
    chunk = b"258\r\n" + b"x" * 600 + b"\r\n"
    async with served(application(replace(LIMITS, linger=60))) as url, connected(url) as connection:
        await connection.send(request("POST /read", Transfer_Encoding="chunked") + chunk * 2)
        status, headers, _ = await connection.answer()
        assert (status, headers["connection"]) == (413, "close")
        await connection.send(chunk * 50 + b"0\r\n\r\n")  # a client that has not read yet is not reset
        assert await connection.is_closed()


async def test_an_endless_refused_body_is_not_drained_forever(url: str) -> None:
    async with connected(url) as connection:
        await connection.send(request("POST /read", Content_Length=10**15))
        assert (await connection.answer())[0] == 413
        assert await connection.is_closed()


@pytest.mark.parametrize(
    ("line", "kind", "size", "status"),
    [
        ("POST /separate", FORM, 3000, 200),
        ("POST /separate", FORM, 3001, 413),
        ("POST /separate", "application/json", 1001, 413),
        ("POST /read", FORM, 1001, 413),
    ],
)
async def test_only_forms_on_upload_paths_may_be_large(
    url: str, line: str, kind: str, size: int, status: int
) -> None:
    async with connected(url) as connection:
        await connection.send(request(line, Content_Type=kind, Content_Length=size) + b"x" * size)
        assert (await connection.answer())[0] == status


async def test_a_stalled_body_times_out() -> None:
    async with served(application(replace(LIMITS, timeout=0.3))) as url, connected(url) as connection:
        await connection.send(request("POST /read", Content_Length=10) + b"12345")
        status, headers, body = await connection.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert b"/problems/too-slow" in body


async def test_a_trickling_body_times_out() -> None:
    async with (
        served(application(replace(LIMITS, timeout=0.5))) as url,
        connected(url) as connection,
    ):
        await connection.send(request("POST /read", Content_Length=1000))
        answering = asyncio.create_task(connection.answer())
        while not answering.done():
            await connection.send(b"x")
            await asyncio.wait([answering], timeout=0.05)
        assert (await answering)[0] == 408


async def test_a_small_unread_body_does_not_cost_the_connection(url: str) -> None:
    async with connected(url) as connection:
        for _ in range(2):
            await connection.send(request("POST /ignore", Content_Length=100) + b"x" * 100)
            status, headers, body = await connection.answer()
            assert (status, headers.get("connection"), len(body)) == (200, None, 12)


async def test_a_client_that_waits_for_100_continue_is_refused_at_once(url: str) -> None:
    async with connected(url) as connection:
        await connection.send(request("POST /read", Content_Length=5000, Expect="100-continue"))
        assert (await connection.answer())[0] == 413


@pytest.mark.parametrize(
    "head", [b"x" * 300_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60_000], ids=["line", "headers"]
)
async def test_endless_headers_are_refused(url: str, head: bytes) -> None:
    async with connected(url) as connection:
        try:
            await connection.send(head + b"x" * server.HEADER_BYTES)
            status = (await connection.answer())[0]
        except (ConnectionError, asyncio.IncompleteReadError):
            status = 0  # reset while sending
        assert status in (0, 400, 431)
        assert await connection.is_closed()


@pytest.mark.parametrize(
    ("head", "status", "problem"),
    [
        (request("GET /read", A="x" * 70_000), 431, "headers-too-large"),
        (request("GET /read")[:-2] + b"A:b\r\n" * server.HEADER_FIELDS + b"\r\n", 431, "headers-too-large"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, "headers-too-large"),
        (b"rubbish\r\n\r\n", 400, "malformed-request"),
    ],
    ids=["header", "headers", "path", "rubbish"],
)
async def test_what_the_server_refuses_is_a_problem_with_an_id(
    url: str, head: bytes, status: int, problem: str
) -> None:
    async with connected(url) as connection:
        await connection.send(head)
        answered, headers, body = await connection.answer()
        document = json.loads(body)
        assert (answered, document["status"], document["type"]) == (status, status, f"/problems/{problem}")
        assert headers["content-type"] == "application/problem+json"
        assert headers["x-request-id"] == document["request_id"] != ""
        assert await connection.is_closed()


@pytest.mark.parametrize(
    "tail", [b"0\r\n" + b"A: b\r\n" * 60_000, b"0\r\nA: " + b"x" * 300_000, b"1;" + b"x" * 300_000],
    ids=["trailers", "trailer", "extension"],
)  # fmt: skip
async def test_chunk_extensions_and_trailers_are_limited(tail: bytes) -> None:
    """Trailers would be kept in memory, however many there are."""
    async with served(application(LIMITS)) as url, connected(url) as connection:
        await connection.send(request("POST /read", Transfer_Encoding="chunked") + b"1\r\nx\r\n")
        with contextlib.suppress(ConnectionError):
            await connection.send(tail)
        assert await connection.is_closed()


async def test_a_body_in_many_small_chunks_is_read_and_its_trailers_dropped(url: str) -> None:
    async with connected(url) as connection:
        chunks = b"1;a=b\r\nx\r\n" * 900 + b"0\r\nX-Request-ID: trailer\r\n\r\n"
        await connection.send(request("POST /read", Transfer_Encoding="chunked") + chunks)
        status, headers, body = await connection.answer()
        assert (status, body) == (200, b"900")
        assert headers["x-request-id"] != "trailer"  # trailers are not headers
        await connection.send(request("POST /read", Content_Length=0))
        assert (await connection.answer())[0] == 200


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_missing_headers_time_out(beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    async with served(application(LIMITS)) as url, connected(url) as connection:
        await connection.send(beginning)
        assert await connection.is_closed()


async def test_a_body_may_take_longer_than_headers_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    async with served(application(LIMITS)) as url, connected(url) as connection:
        await connection.send(request("POST /read", Content_Length=2) + b"1")
        answering = asyncio.create_task(connection.answer())
        await asyncio.wait([answering], timeout=0.5)
        assert not answering.done()
        await connection.send(b"2")
        assert (await answering)[0] == 200
        await connection.send(request("POST /read", Content_Length=0))
        assert (await connection.answer())[0] == 200
