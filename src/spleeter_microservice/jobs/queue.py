"""The queue: Procrastinate's tables and statements, run in our transactions.

A job's row and its queue entry always change together, so every method takes the transaction's
connection. Procrastinate's own worker is not used: it changes entries in separate transactions, and
stops when the database becomes unavailable.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status
from procrastinate.sql import queries

from spleeter_microservice.database.connection import Connection, Row

QUEUE = "separations"
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


class Queue:
    """Queue entries and workers' heartbeats."""

    def __init__(self) -> None:
        # Never opened: each statement is given its connection.
        self._connector = PsycopgConnector()
        self._app = App(connector=self._connector)

    async def put(self, connection: Connection, job: UUID, priority: int) -> int:
        """Add a job and return the number of its entry."""
        task = self._app.configure_task(TASK, queue=QUEUE, priority=priority, connection=connection)
        return await task.defer_async(job_id=str(job))

    async def take(self, connection: Connection, worker: int) -> tuple[int, UUID] | None:
        """Take the first waiting entry; return its number and its job's id."""
        row = await self._one(connection, "fetch_job", queues=[QUEUE], worker_id=worker)
        return None if row["id"] is None else (row["id"], UUID(row["args"]["job_id"]))

    async def return_entry(
        self, connection: Connection, entry: int, at: datetime | None = None, priority: int | None = None
    ) -> None:
        """Return a taken entry to its old place or a new one, to be taken no earlier than ``at``."""
        await self._one(
            connection,
            "retry_job",
            job_id=entry,
            retry_at=at,
            new_priority=priority,
            new_queue_name=None,
            new_lock=None,
        )

    async def remove(self, connection: Connection, entry: int) -> None:
        """Remove an entry, taken or not."""
        await self._one(
            connection, "finish_job", job_id=entry, status=Status.SUCCEEDED.value, delete_job=True
        )

    async def stalled(self, connection: Connection, silence: float) -> list[tuple[int, int | None]]:
        """Return the entries, and their workers, that had no heartbeat for this many seconds."""
        rows = await self._connector.execute_query_all_async_with_connection(
            connection,
            queries["select_stalled_jobs_by_heartbeat"],
            queue=QUEUE,
            task_name=TASK,
            seconds_since_heartbeat=silence,
        )
        return [(row["id"], row["worker_id"]) for row in rows]

    async def register(self, connection: Connection) -> int:
        """Register a worker and return its number."""
        row = await self._one(connection, "register_worker")
        return int(row["worker_id"])

    async def beat(self, connection: Connection, worker: int) -> None:
        """Record a worker's heartbeat."""
        await self._one(connection, "update_heartbeat", worker_id=worker)

    async def unregister(self, connection: Connection, worker: int) -> None:
        """Remove a worker."""
        await self._one(connection, "unregister_worker", worker_id=worker)

    async def forget_silent(self, connection: Connection, silence: float) -> None:
        """Remove the workers without a heartbeat for this many seconds."""
        await self._connector.execute_query_all_async_with_connection(
            connection, _named("prune_stalled_workers"), seconds_since_heartbeat=silence
        )

    async def _one(self, connection: Connection, statement: str, **arguments: Any) -> Row:
        row: Row = await self._connector.execute_query_one_async_with_connection(
            connection, _named(statement), **arguments
        )
        return row


def _named(statement: str) -> LiteralString:
    return queries[statement]
