"""The queue: Procrastinate's tables and statements, run in our transactions.

A job's row and its queue entry always change together. Procrastinate's own worker is not used: it changes
entries in separate transactions, and stops when the database becomes unavailable.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from spleeter_microservice.database.connection import Transaction

QUEUE = "separations"
CHOOSY_QUEUE = "separations-with-needs"
"""Queue of the jobs that not every worker can do: workers of earlier versions do not look into it."""
TASK = "separate"
COST_UNIT = 60.0
"""Seconds of audio per unit of virtual time; a job costs at least one unit."""
_LATEST = 2**29 - 1  # Procrastinate's column has 32 bits


def virtual_cost(audio_seconds: float) -> int:
    """Return the virtual time that a job costs its tenant."""
    return max(1, math.ceil(audio_seconds / COST_UNIT))


def entry_priority(virtual_start: int) -> int:
    """Return the priority of a queue entry: earlier in virtual time first (decision 4)."""
    return -min(virtual_start, _LATEST)


async def put(transaction: Transaction, job: UUID, priority: int, needs: Collection[str] = ()) -> int:
    """Add a job, with what its worker has to know, and return the number of its entry."""
    name = CHOOSY_QUEUE if needs else QUEUE
    new = (name, TASK, priority, None, None, Jsonb({"job_id": str(job), "needs": [*needs]}), None)
    row = await transaction.one("procrastinate.defer_jobs", jobs=[new])
    return int(row["id"])


async def take(transaction: Transaction, worker: int, known: Collection[str]) -> tuple[int, UUID] | None:
    """Take the first waiting entry of a job that needs only what is known; return its number and job."""
    row = await transaction.first(
        "take_entry", queues=[QUEUE, CHOOSY_QUEUE], known=Jsonb([*known]), worker=worker
    )
    return (row["id"], UUID(row["args"]["job_id"])) if row else None


async def return_entry(
    transaction: Transaction, entry: int, at: datetime | None = None, priority: int | None = None
) -> None:
    """Return a taken entry to its old place or a new one, to be taken no earlier than ``at``."""
    same = {"new_queue_name": None, "new_lock": None}
    await transaction.do("procrastinate.retry_job", job_id=entry, retry_at=at, new_priority=priority, **same)


async def remove(transaction: Transaction, entry: int) -> None:
    """Remove an entry, taken or not."""
    await transaction.do("procrastinate.finish_job", job_id=entry, status="succeeded", delete_job=True)
