"""The upload resource of the protocol tus 1.0: create, ask, append, delete."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Share
from spleeter_microservice.audit.record import Action
from spleeter_microservice.jobs.uploads import ResumableUpload
from spleeter_microservice.web.audit import record
from spleeter_microservice.web.auth import Caller, CanSubmit
from spleeter_microservice.web.middleware.proxies import ROOT_PATH
from spleeter_microservice.web.middleware.resumable import PART_TYPE, PROTOCOL_VERSION, UPLOADS_PATH
from spleeter_microservice.web.openapi.responses import Answers, keyed_responses
from spleeter_microservice.web.services import Services, ServicesDep
from spleeter_microservice.web.shares import holding
from spleeter_microservice.web.submit.submit import record_refusal
from spleeter_microservice.web.submit.upload import checked_name
from spleeter_microservice.web.uploads.headers import (
    CHECKSUM_ALGORITHMS,
    LONGEST_HEADER,
    READABLE_HEADERS,
    checksum,
    file_name,
    headers_of,
    partial_uploads,
)
from spleeter_microservice.web.uploads.receive import receive

_EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination,concatenation"


async def check_version(
    _: Caller,
    version: Annotated[
        str | None,
        Header(
            alias="Tus-Resumable",
            description="The protocol's version.",
            json_schema_extra={"enum": [PROTOCOL_VERSION]},
        ),
    ] = None,
) -> None:
    """Check the version of the protocol.

    Raises:
        ProtocolVersionError: if it is another one, or missing.
    """
    if version != PROTOCOL_VERSION:
        raise errors.ProtocolVersionError(f"Send the header Tus-Resumable: {PROTOCOL_VERSION}.")


router = APIRouter(tags=["uploads"], default_response_class=Response)
_VERSIONED = [Depends(check_version)]
_RECEIVING = [*_VERSIONED, holding(Share.UPLOADS)]
_BODY: dict[str, Any] = {"content": {PART_TYPE: {"schema": {"type": "string", "format": "binary"}}}}

_ONE = (errors.ProtocolVersionError, errors.UnknownUploadError)
_ADDING = (
    errors.TooManyUploadsError,
    errors.StoredTooMuchError,
    errors.ChecksumMismatchError,
    errors.UnsupportedTypeError,
    errors.UploadLockedError,
    errors.StorageUnavailableError,
    errors.DiskFullError,
)


def _answer(status: int, description: str, *headers: str) -> Answers:
    described = {
        name: {"description": READABLE_HEADERS[name], "schema": {"type": "string"}}
        for name in ("Tus-Resumable", *headers)
    }
    return {status: {"description": description, "headers": described}}


_MOVING = ("Upload-Offset", "Upload-Expires")
_STATE = ("Upload-Length", "Upload-Metadata", "Upload-Concat", *_MOVING)
_SUPPORT = ("Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")

_Checksum = Annotated[
    str | None,
    Header(
        alias="Upload-Checksum", description="`sha1` or `sha256`, a space, and the body's digest in Base64."
    ),
]


@router.options(
    UPLOADS_PATH,
    status_code=204,
    operation_id="getUploadOptions",
    responses=keyed_responses() | _answer(204, "What the service supports.", *_SUPPORT),
)
async def options(services: ServicesDep, _: Caller) -> Response:
    """Get what the service supports of the protocol."""
    size, algorithms = str(services.config.max_file_bytes), ",".join(CHECKSUM_ALGORITHMS)
    values = (PROTOCOL_VERSION, _EXTENSIONS, size, algorithms)
    return Response(status_code=204, headers=dict(zip(_SUPPORT, values, strict=True)))


@router.post(
    UPLOADS_PATH,
    status_code=201,
    operation_id="createUpload",
    responses=keyed_responses(errors.ProtocolVersionError, *_ADDING, errors.UploadsPendingError)
    | _answer(201, "The upload was created.", "Location", *_MOVING),
    dependencies=_RECEIVING,
    openapi_extra={"requestBody": _BODY},
)
async def create(
    request: Request,
    services: ServicesDep,
    caller: CanSubmit,
    length: Annotated[
        int | None, Header(alias="Upload-Length", ge=0, description="Size of the whole song in bytes.")
    ] = None,
    metadata: Annotated[
        str,
        Header(
            alias="Upload-Metadata",
            max_length=LONGEST_HEADER,
            description="Names and Base64 values, separated by commas; `filename` is the name of the song.",
        ),
    ] = "",
    concat: Annotated[
        str,
        Header(
            alias="Upload-Concat",
            max_length=LONGEST_HEADER,
            description="`partial`, or `final;` and the addresses of the partial uploads that it has.",
        ),
    ] = "",
    given: _Checksum = None,
) -> Response:
    """Begin a resumable upload, with its first part in the body if you like.

    Without a body, continue with a part at offset 0. An upload that consists of others is complete at once.
    """
    try:
        expected = checksum(given) if given else None
        checked_name(file_name(metadata), services.config)
        upload = await services.uploads.create(
            caller.tenant,
            length,
            services.config.max_file_bytes,
            metadata,
            concat,
            partial_uploads(concat),
            [services.shares.bounds[share] for share in (Share.STORED_BYTES, Share.PENDING_UPLOADS)],
        )
    except errors.SpleeterError as error:
        await record_refusal(request, error)
        raise
    try:
        await record(request, Action.UPLOAD_CREATED, upload=str(upload.id), bytes=upload.length)
    except errors.AuditUnwritableError:
        await services.uploads.erase(caller.tenant, upload.id)
        raise
    if _has_part(request):
        upload = await _add(request, services, upload, upload.received, expected)
    location = f"{ROOT_PATH.get()}{UPLOADS_PATH}/{upload.id}"
    return Response(status_code=201, headers={"Location": location} | headers_of(upload))


@router.head(
    f"{UPLOADS_PATH}/{{id}}",
    operation_id="getUpload",
    responses=keyed_responses(*_ONE) | _answer(200, "The state of the upload.", *_STATE),
    dependencies=_VERSIONED,
)
async def get(services: ServicesDep, caller: CanSubmit, id: UUID) -> Response:
    """Ask how much of a resumable upload is stored."""
    upload = await services.uploads.get(caller.tenant, id)
    headers = headers_of(upload) | {"Upload-Length": str(upload.length)}
    sent = {"Upload-Metadata": upload.metadata, "Upload-Concat": upload.concat}
    return Response(headers=headers | {name: value for name, value in sent.items() if value})


@router.patch(
    f"{UPLOADS_PATH}/{{id}}",
    status_code=204,
    operation_id="continueUpload",
    responses=keyed_responses(*_ONE, *_ADDING, errors.UploadOffsetError, errors.UploadFinalError)
    | _answer(204, "The part is stored.", *_MOVING),
    dependencies=_RECEIVING,
    openapi_extra={"requestBody": _BODY | {"required": True}},
)
async def append(
    request: Request,
    services: ServicesDep,
    caller: CanSubmit,
    id: UUID,
    offset: Annotated[
        int, Header(alias="Upload-Offset", ge=0, description="Position of the part: the upload's own offset.")
    ],
    given: _Checksum = None,
) -> Response:
    """Send a part of a resumable upload.

    If the connection breaks, what arrived is kept; ask for the offset and send the rest. With a checksum,
    a part is kept only if all of it arrives.
    """
    expected = checksum(given) if given else None
    upload = await services.uploads.get(caller.tenant, id)
    return Response(
        status_code=204, headers=headers_of(await _add(request, services, upload, offset, expected))
    )


def _has_part(request: Request) -> bool:
    return request.headers.get("Content-Type", "").lower() == PART_TYPE


async def _add(
    request: Request,
    services: Services,
    upload: ResumableUpload,
    offset: int,
    expected: tuple[str, bytes] | None,
) -> ResumableUpload:
    if not _has_part(request):
        raise errors.UnsupportedTypeError(f"Send a part of an upload as {PART_TYPE}.")
    if upload.partials:
        raise errors.UploadFinalError("This upload consists of others. Nothing can be added to it.")
    await services.space.checked()
    async with services.uploads.locked(upload.tenant, upload.id) as locked:
        if offset != locked.received:
            raise errors.UploadOffsetError(f"The upload has {locked.received} bytes. Continue from there.")
        return await receive(request, services, locked, expected)


@router.delete(
    f"{UPLOADS_PATH}/{{id}}",
    status_code=204,
    operation_id="deleteUpload",
    responses=keyed_responses(*_ONE, errors.UploadLockedError, errors.StorageUnavailableError)
    | _answer(204, "The upload is erased."),
    dependencies=_VERSIONED,
)
async def delete(request: Request, services: ServicesDep, caller: CanSubmit, id: UUID) -> Response:
    """Erase a resumable upload, whether complete or not, with those that it consists of."""
    await services.uploads.get(caller.tenant, id)
    await record(request, Action.UPLOAD_ERASED, upload=str(id))
    await services.uploads.erase(caller.tenant, id)
    return Response(status_code=204)
