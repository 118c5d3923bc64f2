"""Every response has an id, whatever the request."""

import httpx
import pytest

pytestmark = pytest.mark.asyncio


async def test_an_unknown_path_is_a_problem_with_the_request_s_id(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/nothing", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.json() == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "Nothing exists at this path. Check the path.",
        "instance": "/nothing",
        "request_id": "r-1",
    }
