"""A job can be followed by server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import psycopg
import pytest

from spleeter_microservice.access.principal import Scope
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.claims import Failure
from spleeter_microservice.jobs.job import State
from spleeter_microservice.web.separations.events import EventStream
from spleeter_microservice.web.separations.notifications import NotificationHub
from spleeter_microservice.web.services import Services
from tests.support.job_samples import PREVIEW, WARNINGS, cancel, new_job
from tests.support.waiting import eventually
from tests.support.web_service import Player

pytestmark = pytest.mark.asyncio
QUEUED, RUNNING, SUCCEEDED = State.QUEUED, State.RUNNING, State.SUCCEEDED


@dataclass(frozen=True)
class ReceivedEvent:
    """A server-sent event as a client reads it."""

    id: int
    kind: str
    state: str
    progress: float
    warnings: list[dict[str, Any]] | None = None
    preview: dict[str, Any] | None = None


class Events:
    """The events of an answer."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> ReceivedEvent | None:
        """Return the next event, or None at the end."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                data = json.loads(fields["data"])
                return ReceivedEvent(int(fields["id"]), fields["event"], **data)
        return None

    async def rest(self) -> list[ReceivedEvent]:
        """Return all events up to the end."""
        found = []
        while (told := await self.next()) is not None:
            found.append(told)
        return found


@asynccontextmanager
async def following(
    client: httpx.AsyncClient, job: object, after: int | None = None
) -> AsyncIterator[Events]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with client.stream("GET", f"/v1/separations/{job}/events", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield Events(answer)


async def test_a_subscriber_receives_every_event_up_to_the_end(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    job = (await services.repository.create(new_job())).job
    async with following(ann, job.id) as events:
        first = await events.next()
        assert first == ReceivedEvent(first.id if first else 0, "state", QUEUED, 0)
        claim = await player.claim()
        second = await events.next()
        assert second is not None
        assert (second.kind, second.state) == ("state", RUNNING)
        await player.claims.progress(claim, 0.25, PREVIEW)
        third = await events.next()
        assert third is not None
        assert (third.kind, third.state, third.progress) == ("progress", RUNNING, 0.25)
        assert third.preview == asdict(PREVIEW)
        await player.publish(claim)
        last = await events.next()
        assert last is not None
        assert (last.kind, last.state, last.progress) == ("state", SUCCEEDED, 1)
        assert isinstance(last.progress, float)  # announced as 1, stored as 1.0
        assert first is not None
        assert first.id < second.id < third.id < last.id
        assert await events.next() is None


@pytest.mark.parametrize("how", ["fail", "cancel"])
async def test_every_end_ends_the_stream(
    ann: httpx.AsyncClient, services: Services, player: Player, how: str
) -> None:
    job = (await services.repository.create(new_job())).job
    async with following(ann, job.id) as events:
        assert await events.next()
        if how == "fail":
            await player.fail(await player.claim(), Failure("not-audio", "No."))
        else:
            await cancel(services.database, job)
        rest = await events.rest()
        assert rest[-1].state == {"fail": "failed", "cancel": "cancelled"}[how]


async def test_the_event_of_a_success_has_the_warnings(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    job = (await services.repository.create(new_job())).job
    async with following(ann, job.id) as events:
        assert await events.next()
        await player.publish(await player.claim(), warnings=WARNINGS)
        assert [told.warnings for told in await events.rest()] == [None, WARNINGS]
    async with following(ann, job.id) as events:
        assert (await events.rest())[-1].warnings == WARNINGS


async def test_two_subscribers_resume_where_each_stopped(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    job = (await services.repository.create(new_job())).job
    claim = await player.claim()
    events = await services.repository.events("ann", job.id)
    queued, running = (event.id for event in events)
    async with following(ann, job.id, queued) as early, following(ann, job.id, running) as late:
        first = await early.next()
        assert first is not None
        assert first.id == running
        await player.claims.progress(claim, 0.5)
        await player.publish(claim)
        one, other = await early.rest(), await late.rest()  # progress that is outdated may be left out
        assert one[-1] == other[-1]
        assert one[-1].state == SUCCEEDED
        assert all(event.id > running for event in one + other)
    async with following(ann, job.id, running) as again:
        assert [event.state for event in await again.rest()] == [SUCCEEDED]


async def test_a_subscriber_that_has_seen_the_end_is_told_not_to_reconnect(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    job = (await services.repository.create(new_job())).job
    await player.separate()
    last = (await services.repository.events("ann", job.id))[-1].id
    for after in (last, 2**63 - 1):
        answer = await ann.get(f"/v1/separations/{job.id}/events", headers={"Last-Event-ID": str(after)})
        assert (answer.status_code, answer.content) == (204, b"")


async def test_an_event_id_from_the_future_hides_no_end(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    job = (await services.repository.create(new_job())).job
    async with following(ann, job.id, 2**63 - 1) as events:
        await player.separate()
        assert await events.next() is None


async def test_deleting_a_job_ends_its_streams(ann: httpx.AsyncClient, services: Services) -> None:
    job = (await services.repository.create(new_job())).job
    async with following(ann, job.id) as events:
        assert await events.next()
        await services.repository.delete("ann", job.id)
        assert [told.state for told in await events.rest()] == ["cancelled"]


async def test_the_stream_of_a_job_that_vanished_unnoticed_ends(
    services: Services, database_url: str
) -> None:
    job = (await services.repository.create(new_job())).job
    await services.repository.delete("ann", job.id)
    stream = EventStream(services.repository, NotificationHub(database_url), "ann", job.id)
    assert [piece async for piece in stream] == []


@pytest.mark.parametrize("number", ["-1", "x", str(2**63), "1.5"])
async def test_an_invalid_event_id_is_refused(
    ann: httpx.AsyncClient, services: Services, number: str
) -> None:
    job = (await services.repository.create(new_job())).job
    answer = await ann.get(f"/v1/separations/{job.id}/events", headers={"Last-Event-ID": number})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


async def test_only_clients_that_may_read_a_job_may_follow_it(
    bob: httpx.AsyncClient, stranger: httpx.AsyncClient, services: Services
) -> None:
    job = (await services.repository.create(new_job())).job
    path = f"/v1/separations/{job.id}/events"
    blind, _ = await services.keys.create("ann", frozenset([Scope.SEPARATE]))
    assert (await stranger.get(path)).status_code == 401
    assert (await bob.get(path)).status_code == 404
    assert (await stranger.get(path, headers={"X-API-KEY": blind})).status_code == 403


async def test_comments_keep_an_idle_stream_alive(services: Services, database_url: str) -> None:
    job = (await services.repository.create(new_job())).job
    stream = aiter(
        EventStream(services.repository, NotificationHub(database_url), "ann", job.id, heartbeat=0.02)
    )
    first, *comments = [await anext(stream) for _ in range(3)]
    assert b"\nid: " in first
    assert comments == [b": ping\n\n"] * 2
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_slow_subscriber_misses_no_state(
    services: Services, player: Player, database_url: str
) -> None:
    job = (await services.repository.create(new_job())).job
    async with NotificationHub(database_url).running() as notices:
        stream = aiter(EventStream(services.repository, notices, "ann", job.id))
        assert b"queued" in await anext(stream)
        claim = await player.claim()
        for step in range(100):
            await player.claims.progress(claim, step / 100)
        await player.publish(claim)
        rest = [piece async for piece in stream]
        assert b"succeeded" in rest[-1]
        assert len(rest) < 40


async def test_no_connection_is_held_while_waiting(ann: httpx.AsyncClient, services: Services) -> None:
    job = (await services.repository.create(new_job())).job
    pool = services.database.pool
    async with following(ann, job.id) as first, following(ann, job.id) as second:
        assert await first.next()
        assert await second.next()
        await eventually(lambda: pool.get_stats()["pool_available"] >= pool.get_stats()["pool_size"])


@pytest.fixture
def outage(database_url: str) -> Iterator[Callable[[bool], None]]:
    """Return a function that makes the database unavailable or available."""
    name = database_url.split("?", maxsplit=1)[0].rpartition("/")[2]
    own = database_url.replace(f"/{name}?", "/postgres?")

    def switch(away: bool) -> None:
        with psycopg.connect(own, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {not away}".encode())
            if away:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                )

    yield switch
    switch(False)


async def test_a_stream_survives_a_database_outage(
    ann: httpx.AsyncClient,
    services: Services,
    database_url: str,
    outage: Callable[[bool], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = (await services.repository.create(new_job())).job
    async with following(ann, job.id) as events:
        assert await events.next()
        await asyncio.to_thread(outage, True)
        await eventually(lambda: "lost the connection" in caplog.text)
        await asyncio.to_thread(outage, False)
        async with Database(database_url, timeout=60) as database:
            player = Player(Services(**{**vars(services), "database": database}))
            await player.separate()
        assert [told.state for told in await events.rest()][-1] == SUCCEEDED


async def test_malformed_notifications_stop_no_subscriber(
    ann: httpx.AsyncClient, services: Services, player: Player
) -> None:
    job = (await services.repository.create(new_job())).job
    async with following(ann, job.id) as events:
        assert await events.next()
        async with services.database.transaction() as transaction:
            await transaction.connection.execute("NOTIFY spleeter_jobs, 'nonsense'")
        await player.separate()
        assert [told.state for told in await events.rest()][-1] == SUCCEEDED


async def test_a_failed_look_up_is_repeated(
    services: Services, database_url: str, outage: Callable[[bool], None]
) -> None:
    job = (await services.repository.create(new_job())).job
    await asyncio.to_thread(outage, True)
    stream = aiter(EventStream(services.repository, NotificationHub(database_url, pause=0.05), "ann", job.id))
    first = asyncio.ensure_future(anext(stream))
    await asyncio.wait([first], timeout=0.2)
    assert not first.done()
    await asyncio.to_thread(outage, False)
    assert b"queued" in await first
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_long_history_is_sent_completely(ann: httpx.AsyncClient, services: Services) -> None:
    count = 200
    job = (await services.repository.create(new_job())).job
    async with services.database.transaction() as transaction:
        await transaction.connection.execute(
            "INSERT INTO spleeter_events (job_id, kind, state, progress)"
            " SELECT %s, 'state', 'queued', 0 FROM generate_series(3, %s)",
            [job.id, count],
        )
    await cancel(services.database, job)
    async with following(ann, job.id) as events:
        assert len(await events.rest()) == count
