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


class Deliveries:
    """The webhooks of jobs.

    Args:
        database: an open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_job(self, tenant: str, job: UUID) -> Sequence[WebhookDelivery]:
        """Return a job's deliveries; none for an unknown job.

        Raises:
            DatabaseUnavailableError: if the database cannot be reached.
        """
        rows = await self._database.rows("list_webhooks", tenant=tenant, job=job)
        return [
            WebhookDelivery(**{item.name: row[item.name] for item in fields(WebhookDelivery)}) for row in rows
        ]
