"""A process holds only so many connections, and those without a key give way, on real connections."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI, Request
from prometheus_client import REGISTRY

from spleeter_microservice.observability.logs import Seldom
from spleeter_microservice.web import server
from spleeter_microservice.web.middleware.body_limit import BodyLimitMiddleware, BodyLimits
from tests.support.logs import logged
from tests.support.raw_http import Connection, connected, request
from tests.support.waiting import eventually
from tests.support.web_service import served

pytestmark = pytest.mark.asyncio
MOST = 4


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "most_connections", lambda: MOST)
    monkeypatch.setattr(server.BoundedProtocol, "_open", {})
    monkeypatch.setattr(server.BoundedProtocol, "_may_log", Seldom(60))


def closed(reason: str) -> float:
    return REGISTRY.get_sample_value("spleeter_connections_closed_total", {"reason": reason}) or 0


def application(finish: asyncio.Event) -> FastAPI:
    app = FastAPI()

    @app.get("/keyed")
    async def keyed(request: Request) -> str:
        request.state.principal = "ann"
        return "done"

    @app.get("/long")
    async def long(request: Request) -> str:
        request.state.principal = "ann"
        await finish.wait()
        return "done"

    @app.get("/checked")
    async def checked(request: Request) -> str:
        await finish.wait()
        return "done"

    @app.post("/refused")
    async def refused(request: Request) -> str:
        request.state.principal = "ann"
        return "no"

    @app.get("/open")
    async def unkeyed() -> str:
        return "x" * (8 << 20)

    app.add_middleware(BodyLimitMiddleware, limits=BodyLimits(upload=1, other=1 << 20, linger=60))
    return app


async def ask(connection: Connection, path: str) -> int:
    await connection.send(request(f"GET {path}"))
    return (await connection.answer())[0]


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET / HT", request("GET /open"), request("POST /refused", Content_Length=1 << 20)],
    ids=["silent", "slow headers", "reads nothing", "refused while sending"],
)
async def test_strangers_make_room_whatever_they_do(beginning: bytes) -> None:
    finish, before = asyncio.Event(), closed("no-key")
    async with served(application(finish)) as url, AsyncExitStack() as stack:
        with logged("info") as log:
            working = await stack.enter_async_context(connected(url))
            await working.send(request("GET /long"))
            idle = await stack.enter_async_context(connected(url))
            assert await ask(idle, "/keyed") == 200
            strangers = []
            for _ in range(3 * MOST):
                strangers.append(await stack.enter_async_context(connected(url)))
                await strangers[-1].send(beginning)
            await eventually(lambda: closed("no-key") - before == 2 * MOST + 2)
            assert await ask(idle, "/keyed") == 200
            finish.set()
            assert (await working.answer())[0] == 200
            assert log.getvalue().count("too many connections") == 1


async def test_a_request_whose_key_is_being_checked_does_not_give_way_to_idle_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "most_connections", lambda: 4 * MOST)
    finish = asyncio.Event()
    async with served(application(finish)) as url, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(url)) for _ in range(4 * MOST - 1)]
        assert [await ask(caller, "/keyed") for caller in idle] == [200] * len(idle)
        caller = await stack.enter_async_context(connected(url))
        await caller.send(request("GET /checked"))
        await eventually(
            lambda: any(one.scope and not one._has_key() for one in server.BoundedProtocol._open)
        )
        await stack.enter_async_context(connected(url))
        assert await idle[0].is_closed()
        finish.set()
        assert (await caller.answer())[0] == 200


async def test_callers_with_keys_give_way_to_each_other_only_when_idle() -> None:
    finish, before = asyncio.Event(), closed("too-many")
    async with served(application(finish)) as url, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(connected(url)) for _ in range(MOST)]
        assert [await ask(caller, "/keyed") for caller in callers] == [200] * MOST
        newer = await stack.enter_async_context(connected(url))
        assert await callers[0].is_closed()
        for caller in (*callers[1:], newer):
            await caller.send(request("GET /long"))
        await eventually(lambda: all(one._has_key() for one in server.BoundedProtocol._open))
        one_too_many = await stack.enter_async_context(connected(url))
        assert await one_too_many.is_closed()
        assert closed("too-many") - before == 2
        finish.set()
        assert {(await caller.answer())[0] for caller in (*callers[1:], newer)} == {200}
