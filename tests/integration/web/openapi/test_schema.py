"""The running API matches its own OpenAPI document."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.schemas import BaseSchema

from spleeter_microservice.access.rate_limit import Rate
from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.database.connection import Database
from spleeter_microservice.settings import Settings
from spleeter_microservice.web.app import create_app
from spleeter_microservice.web.middleware.resumable import PART_TYPE
from spleeter_microservice.web.services import Services
from tests.support.memory_access import MemoryRateLimiter
from tests.support.waiting import eventually
from tests.support.web_service import ALL, Player, build_services, served, song

EXAMPLES = 12  # of each operation, besides the document's own and the borders of its ranges
schemathesis.openapi.format(
    "binary", st.sampled_from([song(), song(0), song()[:30], b"", b"no sound", b"x" * 99])
)
schemathesis.serializer.alias(PART_TYPE, "application/octet-stream")


@dataclass
class Running:
    """An API in a thread of its own, with a separation that succeeded."""

    url: str
    key: str
    job: str


@pytest.fixture(scope="module")
def running(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Serve the API: the tests here are synchronous."""
    started, stopping = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    found: list[Running] = []

    async def serve() -> None:
        async with Database(module_database_url, timeout=60) as database:
            services = build_services(
                database, tmp_path_factory.mktemp("schema"), attempts=MemoryRateLimiter(Rate(10**6))
            )
            key, _ = await services.keys.create("ann", ALL)
            working = asyncio.create_task(_work(Player(services)))
            async with served(create_app(services)) as url:
                found.append(Running(url, key, await _separated(url, key)))
                started.set()
                await stopping.wait()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(stopping.set)
    thread.join()
    loop.close()


async def _work(player: Player) -> None:
    async def separated() -> None:
        with contextlib.suppress(AssertionError):  # nothing waits
            await player.separate()

    await eventually(separated, within=math.inf)


async def _separated(url: str, key: str) -> str:
    """Complete one separation and return its ID."""
    async with httpx.AsyncClient(base_url=url, headers={"X-API-KEY": key}, timeout=None) as client:
        body = (await client.post("/v1/separations", files={"file": ("a.wav", song(seed=7))})).json()

        async def succeeded() -> bool:
            return bool((await client.get(body["url"])).json()["state"] == "succeeded")

        await eventually(succeeded)
    return str(body["id"])


def _document() -> BaseSchema:
    """Return the document, which does not depend on any service."""
    services = cast(Services, SimpleNamespace(config=api_config(Settings()), version="1"))
    schema = schemathesis.openapi.from_dict(create_app(services).openapi())
    for check in (schema.config.checks.negative_data_rejection, schema.config.checks.missing_required_header):
        check.expected_statuses = [*check.expected_statuses, "412"]  # another version of tus, or none
    return schema


schema = _document()
_ONCE = hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[*hypothesis.HealthCheck]
)


@schema.parametrize()
@_ONCE
def test_every_response_matches_the_openapi_document(case: Case[Any], running: Running) -> None:
    """Neither right nor wrong requests get a server's error or an answer that the document lacks."""
    if "id" in case.path_parameters and _is_meant_well(case) and case.method != "DELETE":
        case.path_parameters["id"] = running.job
    # Schemas know neither which bytes are a song, nor their digest, nor a page's cursors, nor a file's end.
    beyond = (
        case.method in {"POST", "PATCH"} or "cursor" in (case.query or {}) or "Range" in (case.headers or {})
    )
    excluded = [positive_data_acceptance] if beyond else []
    if isinstance(case.body, dict) and "" in case.body.values():
        excluded.append(negative_data_rejection)  # an empty field of a form counts as left out
    if "x-schemathesis-unknown-property" in (case.headers or {}):
        excluded.append(negative_data_rejection)  # unknown headers are nobody's mistake
    case.call_and_validate(
        base_url=running.url, headers={"X-API-KEY": running.key}, excluded_checks=excluded, timeout=None
    )


def _is_meant_well(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive
