"""Downloads: stems, archives, waveform peaks and previews."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Share
from spleeter_microservice.audio.codecs import CODECS, FILMS
from spleeter_microservice.audit.record import Action
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.storage.store import SignedMethod
from spleeter_microservice.web.audit import record
from spleeter_microservice.web.auth import CanRead
from spleeter_microservice.web.downloads import results
from spleeter_microservice.web.downloads.signed_addresses import signed_addresses
from spleeter_microservice.web.openapi.responses import Answers, keyed_responses
from spleeter_microservice.web.services import Services, ServicesDep
from spleeter_microservice.web.shares import holding

router = APIRouter(tags=["results"], default_response_class=Response)

_TEXT = {"schema": {"type": "string"}}
_CACHED = {"ETag": _TEXT, "Cache-Control": _TEXT, "Accept-Ranges": _TEXT}
_FILE = _CACHED | {"Content-Disposition": _TEXT, "Content-Length": {"schema": {"type": "integer"}}}
_PART = _FILE | {"Content-Range": _TEXT}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_ANY_FILE = {results.PLAIN_BYTES: _BYTES}
SOUND = {codec.media_type: _BYTES for codec in (*CODECS.values(), *FILMS.values())} | _ANY_FILE
"""Media types that a stem can have, as the OpenAPI document describes them."""
ZIP = {"application/zip": _BYTES} | _ANY_FILE
"""Media types of an archive, likewise."""
_PEAKS = {
    "schema": {"type": "object"},
    "example": {
        "version": 1,
        "channels": 1,
        "sample_rate": 44100,
        "samples_per_pixel": 2646,
        "bits": 8,
        "length": 2,
        "data": [-17, 19, -60, 58],
    },
}
_NOT_MODIFIED: Answers = {
    304: {"description": "The file has not changed (`If-None-Match`).", "headers": _CACHED}
}
_WHOLE: Answers = {200: {"description": "The whole file.", "content": SOUND, "headers": _FILE}}
_RANGE: Answers = {206: {"description": "The requested range.", "content": SOUND, "headers": _PART}}
_ARCHIVE: Answers = {200: {"description": "The archive.", "content": ZIP, "headers": _FILE}}
_HEADERS: Answers = {200: {"description": "The file exists.", "headers": _FILE}}
_DRAWN: Answers = {
    200: {"description": "The peaks.", "content": {"application/json": _PEAKS}, "headers": _CACHED}
}
_OPUS = {"audio/ogg": _BYTES} | _ANY_FILE
_HEARD: Answers = {
    200: {"description": "The whole file.", "content": _OPUS, "headers": _CACHED},
    206: {"description": "The requested range.", "content": _OPUS, "headers": _CACHED},
}
_NONE = (
    errors.UnknownJobError,
    errors.NotReadyError,
    errors.ObjectNotFoundError,
    errors.StorageUnavailableError,
    errors.TooManyDownloadsError,
)
_HELD = [holding(Share.DOWNLOADS)]
NO_STEM = (*_NONE, errors.NoSuchStemError)
"""Errors of downloads of a stem."""
_NO_PREVIEW = (*NO_STEM, errors.NoPreviewError, errors.UnsatisfiableRangeError)


_REQUEST_HEADERS = {
    "If-None-Match": "`ETag` of the file that you have; it is not sent again if unchanged.",
    "If-Range": "`ETag` of the file that you have a part of; if it has changed, the whole file is sent.",
    "Range": "A single range of bytes, such as `bytes=0-1023`.",
}


def _with_headers(*names: str) -> dict[str, Any]:
    """Describe request headers, which the responses read themselves."""
    text = {"schema": {"type": "string"}, "in": "header", "required": False}
    return {"parameters": [text | {"name": name, "description": _REQUEST_HEADERS[name]} for name in names]}


RANGE_HEADERS = _with_headers("Range", "If-Range", "If-None-Match")
"""Request headers of downloads of a stem, as the OpenAPI document describes them."""
SENT = _NOT_MODIFIED | _WHOLE | _RANGE
"""Responses with a stem, likewise."""
_REDIRECTED: Answers = {
    307: {
        "description": "The signed address (`redirect`).",
        "headers": {"Location": _TEXT, "Cache-Control": _TEXT},
    }
}
StemName = Annotated[str, Path(description="Name of a stem.", examples=["vocals"], max_length=100)]

SegmentNumber = Annotated[
    int, Path(description="Number of a segment, from 0.", examples=[0], ge=0, le=1_000_000)
]


Redirect = Annotated[
    bool,
    Query(description="Whether to redirect to a signed address, if the operator has not turned that off."),
]


async def find(services: ServicesDep, caller: CanRead, id: UUID) -> Job:
    """Return the job that the path names."""
    return await services.repository.get(caller.tenant, id)


Found = Annotated[Job, Depends(find)]


@router.head(
    "/v1/separations/{id}/stems/{stem}",
    operation_id="describeStem",
    summary="Head Stem",
    description="Get the headers of a download of the stem.",
    responses=keyed_responses(*NO_STEM) | _NOT_MODIFIED | _HEADERS | _REDIRECTED,
    openapi_extra=_with_headers("If-None-Match"),
)
@router.get(
    "/v1/separations/{id}/stems/{stem}",
    operation_id="downloadStem",
    responses=keyed_responses(*NO_STEM, errors.UnsatisfiableRangeError) | SENT | _REDIRECTED,
    dependencies=_HELD,
    openapi_extra=RANGE_HEADERS,
)
async def get_stem(
    request: Request, services: ServicesDep, job: Found, stem: StemName, redirect: Redirect = False
) -> Response:
    """Download a stem, or a part of it with `Range`; with `redirect`, from an address that needs no key."""
    if redirect and (address := await _signed(request, services, job, stem)):
        return Response(status_code=307, headers={"Location": address})
    return await results.stem_response(services.storage, request, job, stem)


async def _signed(request: Request, services: Services, job: Job, name: str) -> str | None:
    """Return a signed address of a stem; None if nothing is signed here."""
    stem = results.stem_of(results.result_of(job), name)
    method: SignedMethod = "HEAD" if request.method == "HEAD" else "GET"
    address = (await signed_addresses(services, job, [stem], method)).get(name)
    if address and "://" in address and method == "GET":  # another host sends it, and records nothing here
        await record(request, Action.RESULT_DOWNLOADED, job=job.id, stem=name, redirected=True)
    return address


@router.head(
    "/v1/separations/{id}/archive",
    operation_id="describeArchive",
    summary="Head Archive",
    description="Get the headers of a download of the archive.",
    responses=keyed_responses(*_NONE) | _NOT_MODIFIED | _HEADERS,
    openapi_extra=_with_headers("If-None-Match"),
)
@router.get(
    "/v1/separations/{id}/archive",
    operation_id="downloadArchive",
    responses=keyed_responses(*_NONE) | _NOT_MODIFIED | _ARCHIVE,
    dependencies=_HELD,
    openapi_extra=_with_headers("If-None-Match"),
)
async def get_archive(request: Request, services: ServicesDep, job: Found) -> Response:
    """Download all stems as one uncompressed ZIP archive."""
    return await results.archive_response(services.storage, request, job)


@router.get(
    "/v1/separations/{id}/peaks/{stem}",
    operation_id="getPeaks",
    responses=keyed_responses(*NO_STEM) | _NOT_MODIFIED | _DRAWN,
    dependencies=_HELD,
    openapi_extra=_with_headers("If-None-Match"),
)
async def get_peaks(request: Request, services: ServicesDep, job: Found, stem: StemName) -> Response:
    """Get a stem's waveform for a player: the minimum and maximum of each pixel.

    The format is the JSON of `audiowaveform`.
    """
    return await results.peaks_response(services.storage, request, job, stem)


@router.get(
    "/v1/separations/{id}/preview/{stem}",
    operation_id="playPreview",
    responses=keyed_responses(*_NO_PREVIEW) | _NOT_MODIFIED | _HEARD,
    dependencies=_HELD,
    openapi_extra=RANGE_HEADERS,
)
async def get_preview(request: Request, services: ServicesDep, job: Found, stem: StemName) -> Response:
    """Play a small Opus file of a stem, once the separation has succeeded."""
    return await results.preview_response(services.storage, request, job, stem)


@router.get(
    "/v1/separations/{id}/preview/{stem}/{segment}",
    operation_id="playPreviewSegment",
    responses=keyed_responses(*_NO_PREVIEW) | _NOT_MODIFIED | _HEARD,
    dependencies=_HELD,
    openapi_extra=RANGE_HEADERS,
)
async def get_preview_segment(
    request: Request, services: ServicesDep, job: Found, stem: StemName, segment: SegmentNumber
) -> Response:
    """Play a segment of a stem's preview, as soon as it is made.

    Each segment is an Opus file of its own, which decodes to exactly its length. The decoded segments joined
    together are the decoded whole.
    """
    return await results.preview_response(services.storage, request, job, stem, segment)
