"""Every end of a job is sent to its receiver at least once, signed, and to no other."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import psycopg
import pytest

from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.claims import Claims, Failure
from spleeter_microservice.jobs.job import Job, JobOptions, NewJob
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.outgoing.client import Outgoing, WebhookResponse
from spleeter_microservice.outgoing.inner_targets import InnerTarget
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.webhooks import signature
from spleeter_microservice.webhooks.deliveries import WebhookDelivery, deliveries_of
from spleeter_microservice.webhooks.sender import SenderOptions, WebhookSender
from tests.support.audit import audited
from tests.support.http_servers import Server, serving, stall, status
from tests.support.job_samples import RESULT, WARNINGS, cancel, claimed, new_job, succeed
from tests.support.waiting import eventually
from tests.support.webhooks import SECRET, verified_id

pytestmark = pytest.mark.asyncio

QUICK = SenderOptions(poll=0.05, timeout=60.0)


def telling(server: Server, tenant: str = "ann") -> NewJob:
    options = JobOptions(metadata={"album": "1"}, callback_url=f"{server.url}/hook")
    return new_job(tenant, options=options, request_id="r-1")


def sender(
    database: Database, server: Server, audit: AuditLog | None = None, options: SenderOptions = QUICK
) -> WebhookSender:
    policy = UrlPolicy(frozenset({server.server_port}), (InnerTarget(IPv4Network("127.0.0.1/32")),))
    return WebhookSender(database, Outgoing(policy), (SECRET,), audit, options)


async def sent(
    sending: WebhookSender,
    database: Database,
    job: Job,
    until: Callable[[WebhookDelivery], bool],
    *others: Job,
) -> WebhookDelivery:
    """Run a sender until ``until`` holds for the only delivery of a job, and of each of the others."""

    async def wanted() -> WebhookDelivery | None:
        assert not running.done()
        found = [await deliveries_of(database, one.tenant, one.id) for one in (job, *others)]
        return found[0][0] if all(until(delivery) for (delivery,) in found) else None

    running = asyncio.create_task(sending.run())
    try:
        return await eventually(wanted)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def delivered(delivery: WebhookDelivery) -> bool:
    return delivery.state == "delivered"


def make_due(database: Database) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute("UPDATE spleeter_webhooks SET next_attempt_at = now() WHERE state = 'pending'")


async def test_a_success_is_sent_signed_with_the_request_s_id(database: Database) -> None:
    with serving(status(204)) as server:
        job = await succeed(database, telling(server))
        delivery = await sent(sender(database, server, AuditLog(database)), database, job, delivered)
    ((_, headers),), (body,) = server.requests, server.bodies
    headers = {name.lower(): value for name, value in headers.items()}
    assert verified_id(headers, body) == delivery.id
    assert (headers["x-request-id"], headers["content-type"]) == ("r-1", "application/json")
    event = json.loads(body)
    assert event["type"] == "separation.succeeded"
    assert datetime.fromisoformat(event["timestamp"]) == job.finished_at
    assert event["data"] == {
        "id": str(job.id),
        "state": "succeeded",
        "metadata": {"album": "1"},
        "model": "2stems",
        "stems": ["vocals", "other"],
        "warnings": WARNINGS,
        "error": None,
        "delivered": None,
        "request_id": "r-1",
    }
    assert (delivery.attempts, delivery.last_status, delivery.next_attempt_at) == (1, 204, None)
    assert [record["action"] for record in audited(database.url)] == ["webhook.sent"]


async def test_a_failure_a_cancellation_and_a_reused_result_are_sent_too(database: Database) -> None:
    with serving(status(200)) as server:
        repository, claims = JobRepository(database), Claims(database)
        failing = (await repository.create(telling(server))).job
        claim = await claimed(claims, await claims.register("test", 1))
        await claims.fail(claim, Failure("not-audio", "Convert it."))
        waiting = (await repository.create(telling(server))).job
        await cancel(database, waiting)
        first = telling(server)
        done = await succeed(database, first)
        again = replace(telling(server), content_hash=first.content_hash)
        reused = (await repository.create(again)).job
        await sent(sender(database, server), database, failing, delivered, waiting, done, reused)
    events = {event["data"]["id"]: event for event in map(json.loads, server.bodies)}
    assert len(server.bodies) == 4
    assert events[str(failing.id)]["data"]["error"] == {
        "type": "/problems/not-audio",
        "message": "Convert it.",
    }
    assert events[str(waiting.id)]["type"] == "separation.cancelled"
    assert events[str(reused.id)]["data"]["stems"] == ["vocals", "other"]


async def test_a_cancellation_is_sent_after_the_song_is_erased_and_then_forgotten(database: Database) -> None:
    erased: list[str] = []

    async def erase(prefix: str) -> None:
        erased.append(prefix)

    retention, claims = Retention(database, erase), Claims(database)
    with serving(status(200)) as server:
        job = (await JobRepository(database).create(telling(server))).job
        claim = await claimed(claims, await claims.register("test", 1))
        await JobRepository(database).delete("ann", job.id)
        assert await claims.release(claim)
        assert await retention.erase(job.id)
        assert erased == [job.prefix]
        sending = asyncio.create_task(sender(database, server).run())

        async def forgotten() -> bool:
            return await retention.sweep() == 1

        await eventually(forgotten)
        sending.cancel()
    (event,) = map(json.loads, server.bodies)
    assert (event["type"], event["data"]["id"]) == ("separation.cancelled", str(job.id))
    with psycopg.connect(database.url) as connection:
        assert connection.execute("SELECT count(*) FROM spleeter_jobs").fetchone() == (0,)


async def test_a_job_without_a_callback_url_sends_no_webhook(database: Database) -> None:
    job = await succeed(database, new_job())
    assert await deliveries_of(database, "ann", job.id) == []


async def test_a_failed_attempt_is_retried_under_the_same_id(database: Database) -> None:
    with serving(status(500), status(200)) as server:
        job = await succeed(database, telling(server))
        failed = await sent(sender(database, server), database, job, lambda found: found.last_status == 500)
        assert failed.state == "pending"
        assert failed.next_attempt_at
        wait = (failed.next_attempt_at - datetime.now(UTC)).total_seconds()
        assert 0 < wait <= signature.DELAYS[0].total_seconds() * 1.2
        make_due(database)
        await sent(sender(database, server), database, job, delivered)
    assert len({headers["webhook-id"] for _, headers in server.requests}) == 1
    assert server.bodies[0] == server.bodies[1]


async def test_a_receiver_that_answers_410_is_not_called_again(database: Database) -> None:
    with serving(status(410)) as server:
        job = await succeed(database, telling(server))
        delivery = await sent(sender(database, server), database, job, lambda found: found.state == "failed")
    assert (delivery.last_status, delivery.next_attempt_at) == (410, None)


async def test_the_last_failed_attempt_ends_the_delivery(database: Database) -> None:
    with serving(status(500)) as server:
        job = await succeed(database, telling(server))
        with psycopg.connect(database.url) as connection:
            connection.execute("UPDATE spleeter_webhooks SET attempts = %s", (len(signature.DELAYS),))
        await sent(sender(database, server), database, job, lambda found: found.state == "failed")


async def test_an_internal_address_is_not_called(database: Database) -> None:
    with serving(status(200)) as server:
        job = await succeed(database, telling(server))
        keyed_responses = WebhookSender(database, Outgoing(UrlPolicy()), (SECRET,), options=QUICK)
        delivery = await sent(keyed_responses, database, job, lambda found: found.state == "failed")
    assert server.requests == []
    assert delivery.last_error


async def test_an_attempt_of_a_killed_sender_is_repeated(database: Database) -> None:
    with serving(status(200)) as server:
        job = await succeed(database, telling(server))
        async with database.transaction() as transaction:  # as the killed one did
            assert await transaction.first("claim_webhook", busy=[], lease=0.3)
        delivery = await sent(sender(database, server), database, job, delivered)
    assert delivery.attempts == 2


class Unforeseen(Outgoing):
    """A client that raises an unexpected error for one address."""

    async def post(self, url: str, *arguments: Any, **options: Any) -> WebhookResponse:
        if url.endswith("/breaks"):
            raise ZeroDivisionError
        return await super().post(url, *arguments, **options)


async def test_an_unexpected_error_in_one_webhook_does_not_stop_the_others(database: Database) -> None:
    with serving(status(204)) as server:
        breaking = telling(server)
        options = replace(breaking.options, callback_url=f"{server.url}/breaks")
        await succeed(database, replace(breaking, options=options))
        job = await succeed(database, telling(server))
        policy = UrlPolicy(frozenset({server.server_port}), (InnerTarget(IPv4Network("127.0.0.1/32")),))
        sending = WebhookSender(database, Unforeseen(policy), (SECRET,), None, QUICK)
        await sent(sending, database, job, delivered)


async def test_a_tenant_with_slow_receivers_delays_no_other(database: Database) -> None:
    released = threading.Event()
    with serving(stall(b"slow", released)) as slow, serving(status(204)) as quick:
        for _ in range(6):
            await succeed(database, telling(slow, "bob"))
        job = await succeed(database, telling(quick, "ann"))
        policy = UrlPolicy(
            frozenset({slow.server_port, quick.server_port}), (InnerTarget(IPv4Network("127.0.0.1/32")),)
        )
        options = SenderOptions(at_once=3, at_once_per_tenant=2, poll=0.05, timeout=60.0)
        sending = WebhookSender(database, Outgoing(policy), (SECRET,), None, options)
        await sent(sending, database, job, lambda one: delivered(one) and len(slow.requests) >= 2)
        assert len(slow.requests) == 2
        released.set()


async def test_two_senders_share_the_webhooks_and_send_none_twice(database: Database) -> None:
    with serving(status(200)) as server:
        jobs = [await succeed(database, telling(server)) for _ in range(10)]
        senders = [asyncio.create_task(sender(database, server).run()) for _ in range(2)]

        async def all_delivered() -> bool:
            return all([delivered((await deliveries_of(database, "ann", job.id))[0]) for job in jobs])

        await eventually(all_delivered)
        for task in senders:
            task.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    assert len(server.bodies) == 10


async def test_deliveries_of_another_tenant_and_of_a_deleted_job_are_hidden(
    database: Database,
) -> None:
    with serving(status(200)) as server:
        job = await succeed(database, telling(server))
        assert await deliveries_of(database, "bob", job.id) == []
        await JobRepository(database).delete("ann", job.id)
        async with database.transaction() as transaction:
            assert await transaction.first("claim_webhook", busy=[], lease=1.0) is None
    assert RESULT.model
