"""The simple form: one call that uploads a song, waits, and returns its stems."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Share
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.jobs.repository import JobRepository, Origin
from spleeter_microservice.web.auth import CanRead, CanSubmit
from spleeter_microservice.web.disconnection import while_connected
from spleeter_microservice.web.downloads.results import archive_response, stem_response
from spleeter_microservice.web.downloads.routes import SOUND, ZIP
from spleeter_microservice.web.openapi.responses import (
    SUBMISSION_BODY,
    SUBMITTING,
    Answers,
    keyed_responses,
)
from spleeter_microservice.web.separations.events import EventStream
from spleeter_microservice.web.separations.notifications import HubDep, NotificationHub
from spleeter_microservice.web.separations.presenters import separation_path
from spleeter_microservice.web.separations.routes import CREATED_HEADERS, IdempotencyKey, erase
from spleeter_microservice.web.services import Services, ServicesDep
from spleeter_microservice.web.shares import holding
from spleeter_microservice.web.submit.options import Output
from spleeter_microservice.web.submit.submit import submit_song

router = APIRouter(tags=["separations"], default_response_class=Response)

WARNINGS_HEADER = "Spleeter-Warnings"
_WARNINGS = {
    WARNINGS_HEADER: {
        "description": "Codes and positions in seconds of the song's warnings, as a list of RFC 9651; "
        "absent if there are none.",
        "schema": {"type": "string"},
        "example": "gap;position=2.01, cut-off;position=182.4",
    }
}
_SEPARATED: Answers = {
    200: {
        "description": "The archive, or the stem.",
        "content": ZIP | SOUND,
        "headers": CREATED_HEADERS | _WARNINGS,
    }
}
_REFUSALS = (
    *SUBMITTING,
    errors.UnknownJobError,
    errors.NotReadyError,
    errors.ObjectNotFoundError,
    errors.SeparationFailedError,
    errors.StoppingError,
    errors.TooManyDownloadsError,
    errors.WaitedTooLongError,
)
OneStem = Annotated[Output | None, Query(description="Return this stem or mix only, not the archive.")]


@router.post(
    "/separate",
    operation_id="separate",
    responses=keyed_responses(*_REFUSALS) | _SEPARATED,
    dependencies=[holding(Share.DOWNLOADS)],
    openapi_extra={"requestBody": SUBMISSION_BODY},
)
async def separate(
    request: Request,
    services: ServicesDep,
    hub: HubDep,
    caller: CanSubmit,
    _: CanRead,
    stem: OneStem = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Separate a song and wait: all stems as a ZIP archive, or one stem with `stem`.

    To cancel, close the connection; everything about the separation is then erased. With an
    `Idempotency-Key` it continues instead, and the same request waits for it again. If it takes longer
    than the operator allows, the response is 504 and `Location` points to the running separation. A
    delivered separation is kept as long as any other.
    """
    created = await submit_song(request, services, caller, idempotency_key)
    job, is_repeated = created.job, created.origin is Origin.REPEATED
    try:
        await _check(services, job, stem)
        job = await _ended(request, services, hub, job)
    except errors.InvalidFieldsError:
        if not is_repeated:
            await erase(request, services, job)
        raise
    except ClientDisconnect:
        if idempotency_key is None:
            await erase(request, services, job)
        raise
    response = await _delivered(request, services, job, stem)
    if is_repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


async def _check(services: Services, job: Job, stem: str | None) -> None:
    """Check before waiting that the requested stem will exist."""
    if stem is None:
        return
    options = job.options
    model = await services.workers.choose(options.stems, options.bandwidth, options.model)
    names = options.outputs(model.stems)
    if stem not in names:
        raise errors.InvalidFieldsError(
            {"stem": f"The separation will have no stem {stem}; it will have {', '.join(names)}."}
        )


async def _ended(request: Request, services: Services, hub: NotificationHub, job: Job) -> Job:
    """Wait for the end of a job, as long as the client stays and the operator allows.

    Raises:
        ClientDisconnect: if the client closes the connection.
        WaitedTooLongError: if it takes too long.
        StoppingError: if the service is stopping.
        UnknownJobError: if the job is deleted.
    """
    timeout = services.config.sync_timeout
    try:
        async with asyncio.timeout(timeout):
            return await while_connected(request, _wait(services.repository, hub, job))
    except TimeoutError:
        raise errors.WaitedTooLongError(
            f"The separation takes longer than {timeout:g} s and is still running: see Location. Send long "
            "songs to /v1/separations, which does not wait.",
            separation_path(job),
        ) from None


async def _wait(repository: JobRepository, hub: NotificationHub, job: Job) -> Job:
    async for _ in EventStream(repository, hub, job.tenant, job.id):
        pass
    if hub.closed:
        raise errors.StoppingError(
            "The service is stopping. The separation continues once it is running again: see Location.",
            separation_path(job),
        )
    return await repository.get(job.tenant, job.id)


async def _delivered(request: Request, services: Services, job: Job, stem: str | None) -> Response:
    if job.state is State.FAILED:
        raise errors.SeparationFailedError(
            job.error_message or "The separation failed.", job.error_type or ""
        )
    if stem is None:
        response = await archive_response(services.storage, request, job)
    else:
        response = await stem_response(services.storage, request, job, stem)
    response.headers["Location"] = separation_path(job)
    if job.result and job.result.warnings:
        response.headers[WARNINGS_HEADER] = ", ".join(
            f"{warning['code']};position={warning['position']:.3f}" for warning in job.result.warnings
        )
    return response
