"""A real collector receives the spans of requests and jobs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from opentelemetry.trace import SpanKind

from spleeter_microservice.errors import ConfigurationError, TruncatedInputError
from spleeter_microservice.jobs.job import Job, Result
from spleeter_microservice.observability.tracing import (
    configure_tracing,
    is_tracing,
    span,
    traceparent,
)
from spleeter_microservice.web.services import Services
from spleeter_microservice.worker.worker import Worker
from tests.support.http_servers import Server, serving, status
from tests.support.traces import close_tracing, spans
from tests.support.web_service import song

pytestmark = pytest.mark.asyncio

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[Server]:
    """A collector of traces that this process tells everything."""
    with serving(status(200)) as server:
        configure_tracing(server.url, "api", "1.2.3")
        try:
            yield server
        finally:
            close_tracing()


@pytest.fixture
def services(collector: Server, services: Services) -> Services:
    """The services of an application that is made when there are traces."""
    return services


async def test_a_request_s_trace_continues_in_the_worker(
    collector: Server, services: Services, ann: httpx.AsyncClient
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "r-1"}
    answer = await ann.post("/v1/separations", files={"file": ("song.wav", song())}, headers=headers)
    assert answer.status_code == 202
    job = answer.json()["id"]
    await work(services, Result(()))
    close_tracing()
    request, separation = sorted(
        (one for one in spans(collector) if one["trace"] == TRACE), key=lambda one: one["kind"]
    )
    assert request["name"] == "POST /v1/separations"
    assert (request["parent"], request["spleeter.request_id"]) == (CALLER, "r-1")
    assert (request["http.request.method"], request["http.route"]) == ("POST", "/v1/separations")
    assert request["http.response.status_code"] == 202
    assert separation["name"] == "separation"
    assert separation["parent"] == request["id"]
    assert (separation["spleeter.job_id"], separation["spleeter.request_id"]) == (job, "r-1")
    assert (separation["spleeter.ending"], separation["failed"]) == ("succeeded", False)


async def test_a_failure_is_marked_without_its_message(
    collector: Server, services: Services, ann: httpx.AsyncClient
) -> None:
    await ann.post("/v1/separations", files={"file": ("song.wav", song())})
    await work(services, TruncatedInputError("The file ends early, says a secret."))
    close_tracing()
    (failed,) = [one for one in spans(collector) if one["name"] == "separation"]
    assert (failed["failed"], failed["events"]) == (True, [])
    assert not any(b"secret" in body for body in collector.bodies)


async def test_a_refused_request_has_a_span_and_an_unknown_path_no_route(
    collector: Server, stranger: httpx.AsyncClient
) -> None:
    await stranger.get("/v1/separations", headers={"traceparent": "00-nonsense"})
    await stranger.get("/nothing/at/all")
    close_tracing()
    told = [(one.get("http.route"), one["http.response.status_code"]) for one in spans(collector)]
    assert told == [("/v1/separations", 401), (None, 404)]
    assert all(one["parent"] == "" for one in spans(collector))


async def test_a_span_contains_an_error_s_class_and_not_its_message(collector: Server) -> None:
    with pytest.raises(ValueError, match="secret"), span("something", SpanKind.CLIENT, {}):
        raise ValueError("secret")
    close_tracing()
    assert spans(collector)[0]["failed"]
    assert b"ValueError" in collector.bodies[0]
    assert b"secret" not in collector.bodies[0]


async def test_an_unreachable_collector_delays_no_request() -> None:
    configure_tracing("http://127.0.0.1:9", "api", "1.2.3")
    try:
        with span("something", SpanKind.CLIENT, {}) as opened:
            assert f"{opened.get_span_context().span_id:016x}" in (traceparent() or "")
    finally:
        await asyncio.to_thread(close_tracing)


async def test_without_an_endpoint_nothing_is_imported_and_no_span_is_sent() -> None:
    code = """
import sys
import spleeter_microservice.web.app, spleeter_microservice.worker.worker
from spleeter_microservice.observability import tracing
tracing.configure_tracing(None, "api", "1")
with tracing.span("something", tracing.SpanKind.SERVER, {"a": 1}) as opened:
    opened.set_attribute("b", 2)
    assert tracing.traceparent() is None
assert not tracing.is_tracing()
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=True)


async def test_an_endpoint_without_the_packages_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match="pip install 'spleeter-microservice"):
        configure_tracing("http://127.0.0.1:4318", "api", "1")
    assert not is_tracing()


async def work(services: Services, outcome: Result | Exception) -> None:
    """Run one job with a real worker."""
    done = asyncio.Event()

    async def separate(job: Job, report_progress: Callable[[float], None]) -> Result:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    worker = Worker(
        services.database, separate, services.storage.delete_prefix, observe=lambda *_: done.set()
    )
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(done.wait(), 30)
    finally:
        worker.stop()
        await running
