"""Pages of other origins may call only if the operator allows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from spleeter_microservice.database.connection import Database
from spleeter_microservice.web.services import Services
from tests.support.web_service import WorkerRegistry, build_services

pytestmark = pytest.mark.asyncio

OWN, OTHER = "https://app.example", "https://evil.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-api-key,idempotency-key",
}


@pytest.fixture(params=["named", "none"])
def services(
    request: pytest.FixtureRequest, database: Database, fleet: WorkerRegistry, tmp_path: Path
) -> Services:
    plain = build_services(database, tmp_path, fleet)
    if request.param == "none":
        return plain
    return replace(plain, config=replace(plain.config, cors_origins=(OWN,)))


@pytest.fixture
def is_open(services: Services) -> bool:
    return bool(services.config.cors_origins)


async def test_a_named_origin_may_call_and_read(stranger: httpx.AsyncClient, is_open: bool) -> None:
    before = await stranger.options("/v1/separations", headers={"Origin": OWN} | PREFLIGHT)
    assert (before.status_code, before.headers.get("access-control-allow-origin")) == (
        (200, OWN) if is_open else (405, None)
    )
    answer = await stranger.get("/v1/separations", headers={"Origin": OWN})
    assert answer.status_code == 401
    assert answer.headers.get("access-control-allow-origin") == (OWN if is_open else None)
    assert ("X-Request-ID" in answer.headers.get("access-control-expose-headers", "")) == is_open
    part = {
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "tus-resumable,upload-offset,content-type,x-http-method-override",
    }
    before = await stranger.options("/v1/uploads/1", headers={"Origin": OWN} | part)
    assert (
        before.status_code,
        "Upload-Offset" in answer.headers.get("access-control-expose-headers", ""),
    ) == ((200, True) if is_open else (405, False))


async def test_other_origins_may_not_and_none_may_send_cookies(stranger: httpx.AsyncClient) -> None:
    for method in ("GET", "OPTIONS"):
        answer = await stranger.request(method, "/v1/separations", headers={"Origin": OTHER} | PREFLIGHT)
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers
