"""Server-sent events about a job (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Share
from spleeter_microservice.jobs.job import JobEvent, State
from spleeter_microservice.jobs.notifications import DELETED, Notice
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.web.auth import CanRead
from spleeter_microservice.web.openapi.responses import Answers, keyed_responses
from spleeter_microservice.web.separations.notifications import HubDep, NotificationHub, Subscription
from spleeter_microservice.web.services import ServicesDep
from spleeter_microservice.web.shares import holding

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that no proxy closes the connection."""
_LARGEST_ID = 2**63 - 1  # PostgreSQL's bigint
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx must not hold events back

_EXAMPLE = """id: 1041
event: progress
data: {"state": "running", "progress": 0.42}

"""
_FOLLOWED: Answers = {
    200: {
        "description": "Events `state` and `progress`, each with the state and the progress, and how far the "
        "previews reach, once there are any; the event of a success also has the warnings, if there are any.",
        "content": {"text/event-stream": {"example": _EXAMPLE}},
    },
    204: {"description": "The separation has ended, and you have all events: do not reconnect."},
}

router = APIRouter(tags=["separations"])
LastEventId = Annotated[
    int,
    Header(
        alias="Last-Event-ID",
        description="The last event that you have received; those after it are sent.",
        ge=0,
        le=_LARGEST_ID,
    ),
]


@router.get(
    "/v1/separations/{id}/events",
    operation_id="followSeparation",
    responses=keyed_responses(errors.UnknownJobError, errors.TooManyStreamsError) | _FOLLOWED,
    dependencies=[holding(Share.EVENT_STREAMS)],
    response_class=StreamingResponse,
)
async def follow(
    request: Request,
    services: ServicesDep,
    hub: HubDep,
    caller: CanRead,
    id: UUID,
    last_event_id: LastEventId = 0,
) -> Response:
    """Follow a separation by server-sent events until it ends or is deleted.

    The first events are those that happened before. Resume a lost connection with `Last-Event-ID`. Of
    `progress` events, only the last one is kept.
    """
    job = await services.repository.get(caller.tenant, id)
    if job.state.final and not await services.repository.events(caller.tenant, id, last_event_id):
        return Response(status_code=204)
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=EventSourceResponse.media_type)
    events = EventStream(services.repository, hub, caller.tenant, id, last_event_id)
    return EventSourceResponse(aiter(events), headers=_HEADERS)


@dataclass
class EventStream:
    """The events of a job after a given one. No connection to the database is held while waiting.

    The stream ends after a final state, when the job is deleted, and when the hub is closed.

    Attributes:
        repository: repository of jobs.
        hub: a running hub of notifications.
        tenant: owner of the job.
        job: id of an existing job.
        after: number of the last event that the client has.
        heartbeat: seconds of silence after which a comment is sent.
    """

    repository: JobRepository
    hub: NotificationHub
    tenant: str
    job: UUID
    after: int = 0
    heartbeat: float = HEARTBEAT
    _state: str | None = field(default=None, init=False)
    _over: bool = field(default=False, init=False)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the stream's events and comments."""
        clock = asyncio.get_running_loop().time
        spoke = clock()
        with self.hub.follow(self.job) as subscription:
            while not (self._over or self.hub.closed):
                try:
                    async with asyncio.timeout_at(spoke + self.heartbeat):
                        notice = await subscription.notices.get()
                except TimeoutError:
                    yield KEEPALIVE_COMMENT
                    spoke = clock()
                    continue
                for event in await self._new_events(subscription, notice):
                    yield _encode(event)
                    spoke = clock()

    async def _new_events(self, subscription: Subscription, notice: Notice | None) -> Sequence[JobEvent]:
        if notice is not None and not notice.warned:  # the warnings themselves may be too long for it
            return self._event_of(notice)
        try:
            async with self.hub.querying:
                return await self._look_up()
        except errors.UnknownJobError:
            self._over = True
        except errors.DatabaseUnavailableError:
            await asyncio.sleep(self.hub.pause)
            subscription.look_again()
        return ()

    def _event_of(self, notice: Notice) -> Sequence[JobEvent]:
        self._over = notice.state == DELETED or State(notice.state).final
        if notice.event is None or notice.event <= self.after:
            return ()
        kind: Literal["state", "progress"] = "progress" if notice.state == self._state else "state"
        self.after, self._state = notice.event, notice.state
        state, progress = State(notice.state), notice.progress
        return (JobEvent(notice.event, kind, state, progress, preview=notice.preview),)

    async def _look_up(self) -> Sequence[JobEvent]:
        """Return the events that the client lacks. The job is read first: it may have no new events."""
        job = await self.repository.get(self.tenant, self.job)
        found = await self.repository.events(self.tenant, self.job, self.after)
        if found:
            self.after = found[-1].id
        self._state = found[-1].state if found else job.state
        self._over = State(self._state).final
        return found


def _encode(event: JobEvent) -> bytes:
    data: dict[str, Any] = {"state": event.state, "progress": round(float(event.progress), 4)}
    if event.warnings:
        data["warnings"] = event.warnings
    if event.preview:
        data["preview"] = event.preview
    return format_sse_event(id=str(event.id), event=event.kind, data_str=json.dumps(data))
