"""Webhooks of jobs, as their owners see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal
from uuid import UUID

from spleeter_microservice.database.connection import Database


@dataclass(frozen=True)
class WebhookDelivery:
    """A webhook of a job."""

    id: str
    url: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    last_status: int | None
    last_error: str | None
    next_attempt_at: datetime | None
    delivered_at: datetime | None


async def deliveries_of(database: Database, tenant: str, job: UUID) -> Sequence[WebhookDelivery]:
    """Return the webhooks of a job; none for an unknown job.

    Raises:
        DatabaseUnavailableError: if the database cannot be reached.
    """
    rows = await database.rows("list_webhooks", tenant=tenant, job=job)
    names = [item.name for item in fields(WebhookDelivery)]
    return [WebhookDelivery(**{name: row[name] for name in names}) for row in rows]
