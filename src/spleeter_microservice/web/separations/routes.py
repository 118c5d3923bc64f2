"""The separation resource: submit, list, get, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from spleeter_microservice.access.principal import Principal, Scope
from spleeter_microservice.audit.record import Action
from spleeter_microservice.errors import InvalidCursorError, UnknownJobError
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.jobs.listing import Sort
from spleeter_microservice.jobs.repository import Origin
from spleeter_microservice.web.audit import record
from spleeter_microservice.web.auth import CanRead, CanSubmit
from spleeter_microservice.web.downloads.signed_addresses import signed_addresses
from spleeter_microservice.web.openapi.responses import (
    LOCATION,
    SUBMISSION_BODY,
    SUBMITTING,
    Answers,
    keyed_responses,
)
from spleeter_microservice.web.separations.presenters import separation, separation_path, summary
from spleeter_microservice.web.separations.schemas import Separation, SeparationPage
from spleeter_microservice.web.services import Services, ServicesDep
from spleeter_microservice.web.submit.submit import submit_song
from spleeter_microservice.webhooks.deliveries import WebhookDelivery, deliveries_of

router = APIRouter(tags=["separations"])

_REPLAYED = {
    "description": "`true` if this request was sent before.",
    "schema": {"type": "string", "enum": ["true"]},
}
CREATED_HEADERS = LOCATION | {"Idempotent-Replayed": _REPLAYED}
"""Headers of responses with a separation, as the OpenAPI document describes them."""
_CREATED: Answers = {
    200: {
        "model": Separation,
        "description": "The result is available at once.",
        "headers": CREATED_HEADERS,
    },
    202: {"description": "The separation is queued or running.", "headers": CREATED_HEADERS},
}
_ERASING: Answers = {
    202: {
        "model": Separation,
        "description": "The separation is erased as soon as possible; until then, its state is `erasing`.",
        "headers": LOCATION,
    }
}

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern="^[ -~]{1,255}$",
        description="A text of your choice in printable ASCII. The same key and body return the same "
        "separation.",
    ),
]


@router.post(
    "/v1/separations",
    status_code=202,
    operation_id="createSeparation",
    responses=keyed_responses(*SUBMITTING) | _CREATED,
    openapi_extra={"requestBody": SUBMISSION_BODY},
)
async def create(
    request: Request,
    response: Response,
    services: ServicesDep,
    caller: CanSubmit,
    idempotency_key: IdempotencyKey = None,
) -> Separation:
    """Submit a song.

    Returns 202 if the separation is queued or running, and 200 if its result is available at once, because
    the same song was separated with the same options, or the same request was sent, before.
    """
    created = await submit_song(request, services, caller, idempotency_key)
    if created.job.state.final:
        response.status_code = 200
    response.headers["Location"] = separation_path(created.job)
    if created.origin is Origin.REPEATED:
        response.headers["Idempotent-Replayed"] = "true"
    return await _described(services, caller, created.job)


@router.get("/v1/separations", operation_id="listSeparations", responses=keyed_responses(InvalidCursorError))
async def list_(
    *,
    services: ServicesDep,
    caller: CanRead,
    cursor: Annotated[
        str | None, Query(max_length=1000, description="`next_cursor` of an earlier page in the same order.")
    ] = None,
    offset: Annotated[
        int, Query(ge=0, le=10**6, description="Number to skip, from the cursor if there is one.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="Maximum number of separations.")] = 50,
    sort: Annotated[
        Sort,
        Query(
            description="What they are sorted by. Names are sorted without case and accents, with their "
            "numbers by value. A minus reverses the order."
        ),
    ] = Sort.NEWEST,
    search: Annotated[
        str,
        Query(
            max_length=255,
            pattern=r"^[^\x00]*$",
            description="Return only separations with this text in the song's name, in any case and with any "
            "accents.",
        ),
    ] = "",
    state: Annotated[
        list[State] | None,
        Query(max_length=len(State), description="Return only those in this state; repeat it for several."),
    ] = None,
    count: Annotated[bool, Query(description="Whether to count those on all pages, in `total`.")] = False,
) -> SeparationPage:
    """List the tenant's separations, newest first unless sorted otherwise."""
    fitting: Mapping[str, Any] = {"states": state or (), "search": search}
    page = await services.repository.page(
        caller.tenant, sort=sort, cursor=cursor, offset=offset, limit=limit, **fitting
    )
    total = await services.repository.count(caller.tenant, **fitting) if count else None
    return SeparationPage(items=[summary(job) for job in page.jobs], next_cursor=page.cursor, total=total)


@router.get("/v1/separations/{id}", operation_id="getSeparation", responses=keyed_responses(UnknownJobError))
async def get(services: ServicesDep, caller: CanRead, id: UUID) -> Separation:
    """Get a separation."""
    return await _described(services, caller, await services.repository.get(caller.tenant, id, erasing=True))


@router.delete(
    "/v1/separations/{id}",
    status_code=204,
    operation_id="deleteSeparation",
    responses=keyed_responses(UnknownJobError) | _ERASING,
    response_model=None,
)
async def delete(
    request: Request, response: Response, services: ServicesDep, caller: CanSubmit, id: UUID
) -> Separation | None:
    """Delete a separation: cancel it if it has not ended, then erase the song, the stems and all else.

    Returns 204 once everything is erased, and 202 if that has to wait, for example until the object store is
    available again.
    """
    job = await services.repository.get(caller.tenant, id, erasing=True)
    if not await erase(request, services, job):
        with suppress(UnknownJobError):  # unless another process has erased it since
            left = await get(services, caller, id)
            response.status_code = 202
            response.headers["Location"] = left.url
            return left
    return None


@router.delete(
    "/v1/separations",
    status_code=202,
    operation_id="deleteSeparations",
    responses=keyed_responses(),
    response_class=Response,
)
async def delete_all(
    request: Request,
    services: ServicesDep,
    caller: CanSubmit,
    until: Annotated[UUID, Query(description="Id of the newest to delete; later ones stay.")],
) -> None:
    """Delete the tenant's separations: cancel those that have not ended, and hide all at once.

    All are erased within minutes.
    """
    await record(request, Action.JOB_ERASED, until=str(until))
    cursor = None
    while True:
        page = await services.repository.page(
            caller.tenant, sort=Sort.OLDEST, cursor=cursor, states=[State.QUEUED, State.RUNNING]
        )
        for job in page.jobs:
            if job.id <= until:
                with suppress(UnknownJobError):  # unless another process has erased it since
                    await _hide(request, services, job)
        cursor = page.cursor
        if cursor is None:
            break
    await services.repository.end_retention(caller.tenant, until)


async def erase(request: Request, services: Services, job: Job) -> bool:
    """Cancel a job if it has not ended, and erase everything about it; return False if that has to wait."""
    if job.state is not State.ERASING:
        await _hide(request, services, job)
    return await services.retention.erase(job.id)


async def _hide(request: Request, services: Services, job: Job) -> None:
    if not job.state.final:
        await record(request, Action.JOB_CANCELLED, job=job.id)
    await record(request, Action.JOB_ERASED, job=job.id)
    await services.repository.delete(job.tenant, job.id)


async def _described(services: Services, caller: Principal, job: Job) -> Separation:
    position = None
    if job.state is State.QUEUED:
        position = await services.repository.position(job.tenant, job.id)
    deliveries: Sequence[WebhookDelivery] = ()
    if job.options.callback_url:
        deliveries = await deliveries_of(services.database, job.tenant, job.id)
    signed: Mapping[str, str] = {}
    if job.result and Scope.READ in caller.scopes:
        signed = await signed_addresses(services, job, job.result.stems)
    return separation(job, position, deliveries, signed)
