"""However many requests arrive, one that is being handled goes on."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from spleeter_microservice.web.middleware.turns import RequestTurns

PASSES, STRANGERS = 20, 300


@pytest.mark.asyncio
async def test_a_flood_delays_a_request_that_has_begun_by_little() -> None:
    begun: list[str] = []
    before_the_end = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal before_the_end
        begun.append(scope["path"])
        if scope["path"] == "/upload":
            for _ in range(PASSES):
                await asyncio.sleep(0)
            before_the_end = len(begun)

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None: ...

    turns = RequestTurns(app)

    def request(path: str) -> asyncio.Task[None]:
        return asyncio.create_task(turns({"type": "http", "path": path}, receive, send))

    requests = [request("/upload"), *(request(f"/{number}") for number in range(STRANGERS))]
    gone = request("/gone")
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(*requests)
    assert begun == ["/upload", *(f"/{number}" for number in range(STRANGERS))]
    assert 1 < before_the_end < 3 * PASSES
