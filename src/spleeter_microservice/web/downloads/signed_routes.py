"""Downloads from addresses that the service has signed, without a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from spleeter_microservice import errors
from spleeter_microservice.access.principal import Principal, Scope
from spleeter_microservice.access.shares import Share
from spleeter_microservice.audit.record import Action
from spleeter_microservice.web import rate_fields
from spleeter_microservice.web.audit import client_of, record
from spleeter_microservice.web.downloads.results import stem_response
from spleeter_microservice.web.downloads.routes import NO_STEM, RANGE_HEADERS, SENT, StemName
from spleeter_microservice.web.openapi.responses import open_to_all
from spleeter_microservice.web.services import ServicesDep

router = APIRouter(tags=["results"], default_response_class=Response)

# Pages of other sites play what is at an address that they were given.
_EMBEDDABLE = {"Cross-Origin-Resource-Policy": "cross-origin"}
_LATEST = 1 << 40  # seconds since 1970


async def holder(
    request: Request,
    services: ServicesDep,
    id: UUID,
    stem: StemName,
    tenant: Annotated[str, Query(max_length=4000, description="Tenant of the separation.")] = "",
    expires: Annotated[int, Query(ge=0, le=_LATEST, description="End, in seconds since 1970.")] = 0,
    signature: Annotated[str, Query(max_length=100, description="Signature of all this.")] = "",
) -> AsyncIterator[Principal]:
    """Yield the caller that a signed address stands for, who may download this stem.

    Raises:
        SignedUrlError: if the address is not one that was signed here, or has expired.
        RateLimitError: if too many attempts from this address failed, or the tenant sent too many requests.
    """
    try:
        services.signed_urls.verify(tenant, id, stem, expires, signature)
    except errors.ExpiredUrlError:
        raise
    except errors.SignedUrlError:
        await rate_fields.take(request, services.attempts, client_of(request))
        await record(request, Action.AUTHENTICATION_FAILED, "refused", job=id, reason="signed address")
        raise
    request.state.principal = Principal(tenant, frozenset({Scope.READ}), "signed-url")
    await rate_fields.take(request, services.requests, tenant)
    with services.shares.hold(Share.DOWNLOADS, tenant):
        yield request.state.principal


@router.get(
    "/v1/signed/{id}/{stem}",
    operation_id="downloadSignedStem",
    responses=open_to_all(
        *NO_STEM,
        errors.SignedUrlError,
        errors.ExpiredUrlError,
        errors.InvalidFieldsError,
        errors.RateLimitError,
        errors.UnsatisfiableRangeError,
        errors.DatabaseUnavailableError,
        errors.AuditUnwritableError,
    )
    | SENT,
    openapi_extra=RANGE_HEADERS,
)
async def get_signed_stem(
    request: Request,
    services: ServicesDep,
    holder: Annotated[Principal, Depends(holder)],
    id: UUID,
    stem: StemName,
) -> Response:
    """Download a stem without a key, from an address that the service has signed (`signed_url`)."""
    job = await services.repository.get(holder.tenant, id)
    response = await stem_response(services.storage, request, job, stem)
    response.headers.update(_EMBEDDABLE)
    return response
