"""The OpenAPI document describes events, downloads and the simple form."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio

JOB = "/v1/separations/{id}"
GUARDED = {"400", "401", "403", "408", "413", "421", "422", "429", "500", "503", "507"}


@pytest_asyncio.fixture
async def paths(stranger: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await stranger.get("/openapi.json")).json()["paths"]
    return found


@pytest.mark.parametrize(
    ("method", "path", "answers"),
    [
        ("get", f"{JOB}/events", {"200", "204", "404", "422"}),
        ("get", f"{JOB}/stems/{{stem}}", {"200", "206", "304", "307", "404", "409", "416", "422"}),
        ("head", f"{JOB}/stems/{{stem}}", {"200", "304", "307", "404", "409", "422"}),
        ("get", f"{JOB}/archive", {"200", "304", "404", "409", "422"}),
        ("head", f"{JOB}/archive", {"200", "304", "404", "409", "422"}),
        ("get", f"{JOB}/peaks/{{stem}}", {"200", "304", "404", "409", "422"}),
        ("post", "/separate", {"200", "404", "409", "415", "422", "504"}),
    ],
)
async def test_every_response_is_documented(
    paths: dict[str, Any], method: str, path: str, answers: set[str]
) -> None:
    operation = paths[path][method]
    assert set(operation["responses"]) == answers | GUARDED
    assert operation["operationId"]
    assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}]
    for status, answer in operation["responses"].items():
        assert answer["description"]
        if int(status) >= 400:
            assert list(answer["content"]) == ["application/problem+json"]


async def test_each_kind_of_content_is_documented(paths: dict[str, Any]) -> None:
    def kinds(path: str, status: str = "200", method: str = "get") -> set[str]:
        return set(paths[path][method]["responses"][status].get("content", {}))

    plain = "application/octet-stream"  # what generated clients can read
    sounds = {
        plain,
        "audio/aiff",
        "audio/wav",
        "audio/flac",
        "audio/mpeg",
        "audio/mp4",
        "audio/ogg",
        "audio/x-ms-wma",
        "video/matroska",
        "video/mp4",
    }
    assert kinds(f"{JOB}/events") == {"text/event-stream"}
    assert kinds(f"{JOB}/stems/{{stem}}") == kinds(f"{JOB}/stems/{{stem}}", "206") == sounds
    assert kinds(f"{JOB}/archive") == {plain, "application/zip"}
    assert kinds("/separate", method="post") == sounds | {"application/zip"}
    assert kinds(f"{JOB}/stems/{{stem}}", "304") == set()
    assert set(paths["/separate"]["post"]["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/json",
    }


async def test_headers_that_matter_are_documented(paths: dict[str, Any]) -> None:
    stem = paths[f"{JOB}/stems/{{stem}}"]["get"]
    assert {"Range", "If-Range", "If-None-Match"} <= {
        parameter["name"] for parameter in stem["parameters"] if parameter["in"] == "header"
    }
    assert {"Content-Range", "ETag"} <= set(stem["responses"]["206"]["headers"])
    assert "Content-Range" in stem["responses"]["416"]["headers"]
    assert "Location" in paths["/separate"]["post"]["responses"]["504"]["headers"]
    events = paths[f"{JOB}/events"]["get"]["parameters"]
    assert "Last-Event-ID" in {parameter["name"] for parameter in events}
