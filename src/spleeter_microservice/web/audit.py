"""What requests leave in the audit log."""

from __future__ import annotations

from fastapi import Request

from spleeter_microservice.access.principal import Principal
from spleeter_microservice.access.rate_limit import client_name
from spleeter_microservice.audit.record import Action, AuditEvent, Detail, Outcome
from spleeter_microservice.web.services import services_of


def client_of(request: Request) -> str:
    """Give the name that the caller's address is counted and recorded under."""
    return client_name(request.client.host if request.client else "")


async def record(
    request: Request,
    action: Action,
    outcome: Outcome = "succeeded",
    *,
    job: object = "",
    **details: Detail,
) -> None:
    """Record what a request did, or tried, and who sent it, as far as that is known.

    Raises:
        AuditUnwritableError: when it cannot be; then it should not happen.
    """
    caller: Principal | None = getattr(request.state, "principal", None)
    event = AuditEvent(
        action,
        outcome,
        tenant=caller.tenant if caller else "",
        actor=caller.key_id if caller else "",
        job=str(job),
        client=client_of(request),
        request=request.state.request_id,
        details=details,
    )
    services = await services_of(request)
    await services.audit.record(event)
