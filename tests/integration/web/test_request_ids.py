"""A request's id appears from the API through the worker to the webhook's receiver."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.observability.tracing import configure_tracing
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.web.services import Services
from spleeter_microservice.webhooks.sender import SenderOptions, WebhookSender
from tests.support.http_servers import Server, serving, status
from tests.support.logs import logged
from tests.support.tiny_fleet import TinyWorker, ended, install, working
from tests.support.traces import close_tracing, spans
from tests.support.waiting import eventually
from tests.support.web_service import song
from tests.support.webhooks import SECRET, verified_id

pytestmark = pytest.mark.asyncio

ID = "followed-1"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What this process logs, as operators read it."""
    with logged("debug") as stream:
        yield stream


@pytest.fixture
def receiver() -> Iterator[Server]:
    """Fails at first."""
    with serving(status(500), status(204)) as server:
        yield server


@pytest.fixture
def collector() -> Iterator[Server]:
    with serving(status(200)) as server:
        configure_tracing(server.url, "everything", "1.2.3")
        try:
            yield server
        finally:
            close_tracing()


@pytest_asyncio.fixture
async def services(
    log: io.StringIO, collector: Server, services: Services, receiver: Server
) -> AsyncIterator[Services]:
    """The services, told that this machine may be called, and sending webhooks."""
    policy = UrlPolicy(frozenset({receiver.server_port}), (InnerTarget(IPv4Network("127.0.0.1/32")),))
    config = replace(services.config, signing_webhooks=True)
    fleet = WorkerRegistry(services.database)
    sender = WebhookSender(
        services.database, Outgoing(policy), (SECRET,), services.audit, SenderOptions(poll=0.05)
    )
    sending = asyncio.create_task(sender.run())
    yield replace(services, config=config, url_policy=policy, workers=fleet)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


@pytest_asyncio.fixture
async def worker(services: Services, tmp_path: Path) -> AsyncIterator[TinyWorker]:
    async with working(services, install(tmp_path), tmp_path / "work") as running:
        yield running


async def test_a_request_s_id_is_in_every_line_about_it_and_at_the_receiver(
    ann: httpx.AsyncClient, worker: TinyWorker, receiver: Server, collector: Server, log: io.StringIO
) -> None:
    answer = await ann.post(
        "/v1/separations",
        files={"file": ("song.wav", song())},
        data={"callback_url": f"{receiver.url}/hook"},
        headers={"X-Request-ID": ID},
    )
    assert answer.status_code == 202, answer.text
    job = await ended(ann, answer)
    job = await delivered(ann, answer)
    (delivery,) = job["deliveries"]
    assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("delivered", 2, 204)

    for (path, headers), body in zip(receiver.requests, receiver.bodies, strict=True):
        lower = {name.lower(): value for name, value in headers.items()}
        assert (path, lower["x-request-id"]) == ("/hook", ID)
        assert verified_id(lower, body) == delivery["id"]
        assert json.loads(body)["data"] | {"metadata": None} == {
            "id": job["id"],
            "state": "succeeded",
            "metadata": None,
            "model": "2stems",
            "stems": ["vocals", "accompaniment"],
            "warnings": [],
            "delivered": None,
            "error": None,
            "request_id": ID,
        }

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    mine = [line for line in lines if line.get("request_id") == ID]
    events = [line["event"] for line in mine if line["event"] in ("request", "job ended", "webhook")]
    assert sorted(events) == ["job ended", "request", "webhook", "webhook"]  # some at the same time
    assert all(line["tenant"] == "ann" for line in mine if line["event"] in ("request", "job ended"))
    assert all(line["job_id"] == job["id"] for line in mine if line["event"] == "webhook")

    close_tracing()
    told = [one for one in spans(collector) if one.get("spleeter.request_id") == ID]
    (request,) = [one for one in told if one["name"] == "POST /v1/separations"]
    assert sorted(one["name"] for one in told) == ["POST /v1/separations", "separation", "webhook", "webhook"]
    assert {one["trace"] for one in told} == {request["trace"]}
    assert [one["failed"] for one in told if one["name"] == "webhook"] == [True, False]


async def delivered(client: httpx.AsyncClient, created: httpx.Response) -> dict[str, Any]:
    """Wait until a separation's webhook has arrived; its second attempt is 5 s after the first."""

    async def job() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.get(created.headers["location"])).json()
        return found if [one["state"] for one in found["deliveries"]] == ["delivered"] else None

    return await eventually(job)
