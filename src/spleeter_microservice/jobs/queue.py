"""The queue: Procrastinate's tables and statements, run in our transactions.

A job's row and its entry in the queue always change together, so everything here takes the
transaction's connection. Procrastinate's own worker is not used: it changes its entries in
transactions of its own, and stops when the database goes away.
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
"""Seconds of audio that cost one unit of virtual time; a job costs at least one."""
_LATEST = 2**29 - 1  # Procrastinate's column has 32 bits


def virtual_cost(audio_seconds: float) -> int:
    """Give how far a job moves its tenant on in virtual time."""
    return max(1, math.ceil(audio_seconds / COST_UNIT))


def entry_priority(virtual_start: int) -> int:
    """Return the priority of a queue entry: earlier in virtual time first (decision 4)."""
    return -min(virtual_start, _LATEST)


class Queue:
    """The entries of the queue, and the workers' heartbeats."""

    def __init__(self) -> None:
        # Never opened: every statement comes with its connection.
        self._connector = PsycopgConnector()
        self._app = App(connector=self._connector)

    async def put(self, connection: Connection, job: UUID, priority: int) -> int:
        """Add a job and give its entry's number."""
        task = self._app.configure_task(TASK, queue=QUEUE, priority=priority, connection=connection)
        return await task.defer_async(job_id=str(job))

    async def take(self, connection: Connection, worker: int) -> tuple[int, UUID] | None:
        """Take the first entry that waits; give its number and its job's."""
        row = await self._one(connection, "fetch_job", queues=[QUEUE], worker_id=worker)
        return None if row["id"] is None else (row["id"], UUID(row["args"]["job_id"]))

    async def put_back(self, connection: Connection, entry: int, at: datetime | None = None) -> None:
        """Let an entry that was taken wait again, in its old place, not before a given time."""
        await self._one(
            connection,
            "retry_job",
            job_id=entry,
            retry_at=at,
            new_priority=None,
            new_queue_name=None,
            new_lock=None,
        )

    async def remove(self, connection: Connection, entry: int) -> None:
        """Remove an entry, taken or not."""
        await self._one(
            connection, "finish_job", job_id=entry, status=Status.SUCCEEDED.value, delete_job=True
        )

    async def stalled(self, connection: Connection, silence: float) -> list[tuple[int, int | None]]:
        """Give the entries whose workers were silent for so many seconds, with those workers."""
        rows = await self._connector.execute_query_all_async_with_connection(
            connection,
            queries["select_stalled_jobs_by_heartbeat"],
            queue=QUEUE,
            task_name=TASK,
            seconds_since_heartbeat=silence,
        )
        return [(row["id"], row["worker_id"]) for row in rows]

    async def register(self, connection: Connection) -> int:
        """Register a worker and give its number."""
        row = await self._one(connection, "register_worker")
        return int(row["worker_id"])

    async def beat(self, connection: Connection, worker: int) -> None:
        """Note that a worker lives."""
        await self._one(connection, "update_heartbeat", worker_id=worker)

    async def unregister(self, connection: Connection, worker: int) -> None:
        """Forget a worker."""
        await self._one(connection, "unregister_worker", worker_id=worker)

    async def forget_silent(self, connection: Connection, silence: float) -> None:
        """Forget the workers that were silent for so many seconds."""
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
