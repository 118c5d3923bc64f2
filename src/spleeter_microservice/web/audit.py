"""Audit records of requests."""

from __future__ import annotations

from fastapi import Request

from spleeter_microservice.access.principal import Principal
from spleeter_microservice.access.rate_limit import client_name
from spleeter_microservice.audit.record import Action, AuditEvent, Detail, Outcome
from spleeter_microservice.web.services import services_of

LONGEST_PATH = 500
"""Characters of a request's path that are kept in records and in the log."""


def client_of(request: Request) -> str:
    """Return the name under which the client's address is rate-limited and recorded."""
    return client_name(request.client.host if request.client else "")


async def record(
    request: Request,
    action: Action,
    outcome: Outcome = "succeeded",
    *,
    job: object = "",
    **details: Detail,
) -> None:
    """Record what a request did or tried, and who sent it if known.

    Raises:
        AuditUnwritableError: if it cannot be recorded; the action must then not happen.
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
