"""The simple form: send a song, wait, and have its stems in the same call."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from spleeter_microservice.errors import (
    DatabaseUnavailableError,
    InvalidFieldsError,
    NotReadyError,
    ObjectNotFoundError,
    SeparationFailedError,
    StoppingError,
    UnknownJobError,
    WaitedTooLongError,
)
from spleeter_microservice.jobs.job import Job, State
from spleeter_microservice.jobs.notifications import DELETED, Notice
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.web.auth import CanRead, CanSubmit
from spleeter_microservice.web.downloads.results import archive_response, stem_response
from spleeter_microservice.web.downloads.routes import SOUND, ZIP
from spleeter_microservice.web.openapi.responses import (
    LOCATION,
    SUBMISSION_BODY,
    SUBMITTING,
    Answers,
    keyed_responses,
)
from spleeter_microservice.web.separations.notifications import HubDep, NotificationHub
from spleeter_microservice.web.separations.presenters import separation_path
from spleeter_microservice.web.separations.routes import erase
from spleeter_microservice.web.services import Services, ServicesDep
from spleeter_microservice.web.submit.options import Stem
from spleeter_microservice.web.submit.submit import submit_song

router = APIRouter(tags=["separations"], default_response_class=Response)

_SEPARATED: Answers = {
    200: {"description": "The archive, or the stem.", "content": ZIP | SOUND, "headers": LOCATION}
}
_REFUSALS = (
    *SUBMITTING,
    UnknownJobError,
    NotReadyError,
    ObjectNotFoundError,
    SeparationFailedError,
    StoppingError,
    WaitedTooLongError,
)
OneStem = Annotated[Stem | None, Query(description="Give this stem alone, not the archive.")]


class CallerGoneError(Exception):
    """The caller closed the connection; nobody is there to be told."""


@router.post(
    "/separate",
    operation_id="separate",
    responses=keyed_responses(*_REFUSALS) | _SEPARATED,
    openapi_extra={"requestBody": SUBMISSION_BODY},
)
async def separate(
    request: Request,
    services: ServicesDep,
    notices: HubDep,
    caller: CanSubmit,
    _: CanRead,
    stem: OneStem = None,
) -> Response:
    """Separate a song and wait: all stems as a ZIP archive, or one of them with `stem`.

    Close the connection to cancel: everything about the separation is then erased. When it takes
    longer than the operator lets a call wait, the answer is 504, and `Location` says where the
    separation goes on. What was delivered is kept as long as any other separation.
    """
    job = (await submit_song(request, services, caller)).job
    try:
        await _check(services, job, stem)
        job = await _ended(request, services, notices, job)
    except (InvalidFieldsError, CallerGoneError) as error:
        await erase(request, services, job)
        if isinstance(error, InvalidFieldsError):
            raise
        return Response(status_code=499)  # nobody reads it; the log shows it
    return await _delivered(request, services, job, stem)


async def _check(services: Services, job: Job, stem: str | None) -> None:
    """See that a stem will be there, before anybody waits for it."""
    if stem is None:
        return
    model = await services.models.choose(job.options.stems, job.options.bandwidth)
    names = job.options.only or model.stems
    if stem not in names:
        raise InvalidFieldsError({"stem": f"There will be no {stem}, but {', '.join(names)}."})


async def _ended(request: Request, services: Services, notices: NotificationHub, job: Job) -> Job:
    """Wait for the end of a job, as long as the caller does and the operator allows.

    Raises:
        CallerGoneError: when the caller closed the connection.
        WaitedTooLongError: when it takes too long.
        StoppingError: when the service stops.
        UnknownJobError: when somebody deleted the job.
    """
    end = asyncio.create_task(_wait(services.repository, notices, job))
    leaving = asyncio.create_task(_leave(request))
    try:
        timeout = services.config.sync_timeout
        await asyncio.wait({end, leaving}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            return end.result()
        if leaving.done():
            raise CallerGoneError
    finally:
        end.cancel()
        leaving.cancel()
    raise WaitedTooLongError(
        f"The separation takes longer than {timeout:g} s and goes on: see Location. Send long songs to "
        "/v1/separations, which does not wait.",
        separation_path(job),
    )


async def _wait(repository: JobRepository, notices: NotificationHub, job: Job) -> Job:
    with notices.follow(job.id) as following:
        while not notices.closed:
            if not _may_be_the_end(await following.notices.get()):
                continue
            try:
                async with notices.querying:
                    found = await repository.get(job.tenant, job.id)
            except DatabaseUnavailableError:
                await asyncio.sleep(notices.pause)
                following.look_again()
                continue
            if found.state.final:
                return found
    raise StoppingError(
        "The service is being stopped. The separation goes on as soon as it is back: see Location.",
        separation_path(job),
    )


def _may_be_the_end(notice: Notice | None) -> bool:
    return notice is None or notice.state == DELETED or State(notice.state).final


async def _leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # what follows the form in the body


async def _delivered(request: Request, services: Services, job: Job, stem: str | None) -> Response:
    if job.state is State.FAILED:
        raise SeparationFailedError(job.error_message or "The separation failed.", job.error_type or "")
    if stem is None:
        response = await archive_response(services.storage, request, job)
    else:
        response = await stem_response(services.storage, request, job, stem)
    response.headers["Location"] = separation_path(job)
    return response
