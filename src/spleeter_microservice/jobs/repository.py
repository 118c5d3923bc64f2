"""Tenants' view of jobs; each call is one transaction.

A job that the tenant does not have raises ``UnknownJobError``, whether or not another tenant has it.
Every call raises ``DatabaseUnavailableError`` if the database is unavailable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Bound, Share, Turns
from spleeter_microservice.database.connection import Database, Row, Statements, Transaction
from spleeter_microservice.jobs import queue
from spleeter_microservice.jobs.job import Job, JobEvent, NewJob, State
from spleeter_microservice.jobs.listing import Sort
from spleeter_microservice.jobs.queue import entry_priority, virtual_cost

_NEWEST = 2**62  # larger than the number of any queue entry
_AT_ONCE = 8  # tenants whose jobs this process creates or deletes at a time: half of its connections


class Origin(Enum):
    """How a job was created."""

    NEW = "new"
    REPEATED = "repeated"
    """It existed already, under the same idempotency key."""
    REUSED = "reused"
    """It is new and shares the result, and the objects, of another job."""


@dataclass(frozen=True)
class Created:
    """A job and its origin; unless it is new, the upload for it is not needed."""

    job: Job
    origin: Origin


@dataclass(frozen=True)
class Page:
    """A page of jobs, and the cursor of the next page, or None on the last page."""

    jobs: tuple[Job, ...]
    cursor: str | None


@dataclass(frozen=True)
class Position:
    """A queued job's position.

    Attributes:
        place: 1 for the next job to start.
        audio_seconds_ahead: seconds of audio of the jobs before it, running ones included.
        estimate: seconds until it is done; None until a first job has been measured.
    """

    place: int
    audio_seconds_ahead: float
    estimate: float | None


@dataclass(frozen=True)
class Load:
    """All tenants' queued and running jobs, in numbers."""

    queued: int
    running: int
    queued_audio_seconds: float
    oldest_seconds: float


class JobRepository:
    """The jobs of tenants.

    Args:
        database: an open database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # A tenant's transactions run one after another anyway, and would each hold a connection meanwhile.
        self._turns = Turns(1, _AT_ONCE)

    @asynccontextmanager
    async def _locked(self, tenant: str) -> AsyncIterator[Transaction]:
        """Open a transaction that no other one of the tenant runs beside."""
        async with self._turns.take(tenant), self._database.transaction() as transaction:
            await transaction.do("lock_tenant", tenant=tenant)
            yield transaction

    async def create(self, new: NewJob, *, bounds: Sequence[Bound] = ()) -> Created:
        """Create a job and its queue entry, or return the job that was created with the same key.

        Args:
            new: the job to create.
            bounds: how much of the service's shares may be held.

        Raises:
            IdempotencyConflictError: if the key was used before with another body.
            ShareError: if the tenant holds as much of a share as it may.
        """
        others = [
            bound for bound in bounds if bound.share not in (Share.PENDING_WEBHOOKS, Share.PENDING_UPLOADS)
        ]
        hooks = [
            bound for bound in bounds if bound.share is Share.PENDING_WEBHOOKS and new.options.callback_url
        ]
        async with self._locked(new.tenant) as transaction:
            repeated = await _repeated(transaction, new.tenant, new.idempotency_key, new.body_hash)
            if repeated:
                return Created(Job.from_row(repeated), Origin.REPEATED)
            source = await transaction.first("find_result", **_values(new))
            if source and new.options.destination_url is None:  # a worker has to write the stems there
                await check_bounds(transaction, new.tenant, hooks)
                row = await transaction.one("insert_reusing_job", source=source["id"], **_values(new))
                return Created(Job.from_row(row), Origin.REUSED)
            return Created(await self._insert(transaction, new, [*others, *hooks]), Origin.NEW)

    async def find(self, tenant: str, key: str, body_hash: str) -> Created | None:
        """Return the job that was created with an idempotency key, or None if there is none.

        Raises:
            IdempotencyConflictError: if the key was used before with another body.
        """
        async with self._locked(tenant) as transaction:
            row = await _repeated(transaction, tenant, key, body_hash)
        return Created(Job.from_row(row), Origin.REPEATED) if row else None

    async def _insert(self, transaction: Transaction, new: NewJob, bounds: Sequence[Bound]) -> Job:
        row = await transaction.one("find_virtual_start", tenant=new.tenant)
        start: int = row["virtual_start"]
        entry = await queue.put(transaction, new.id, entry_priority(start), new.options.needs)
        finish = start + virtual_cost(new.audio_seconds)
        await check_bounds(transaction, new.tenant, bounds)  # late, since all others then wait for the commit
        job = await transaction.one(
            "insert_job", entry=entry, virtual_start=start, virtual_finish=finish, **_values(new)
        )
        return Job.from_row(job)

    async def get(self, tenant: str, job: UUID, *, erasing: bool = False) -> Job:
        """Return a job.

        Args:
            tenant: owner of the job.
            job: id of the job.
            erasing: whether to return a deleted job whose objects are not erased yet.

        Raises:
            UnknownJobError: if the tenant has no such job.
        """
        return _shown(await _get(self._database, tenant, job, erasing=erasing))

    async def page(
        self,
        tenant: str,
        *,
        sort: Sort = Sort.NEWEST,
        cursor: str | None = None,
        offset: int = 0,
        limit: int = 50,
        states: Sequence[State] = (),
        search: str = "",
    ) -> Page:
        """Return a page of the tenant's jobs.

        Args:
            tenant: owner of the jobs.
            sort: what they are sorted by.
            cursor: cursor from an earlier page; None for the beginning.
            offset: number of jobs to skip from there.
            limit: maximum number of jobs.
            states: return only jobs in these states; empty for any.
            search: return only jobs with this text in the song's name, in any case and with any accents.

        Raises:
            InvalidCursorError: if the cursor did not come from a page in this order.
        """
        after, values = sort.after(cursor)
        rows = await self._database.rows(
            "list_jobs",
            {"after": after, "order": sort.order},
            tenant=tenant,
            states=[*states],
            search=search,
            offset=offset,
            limit=limit + 1,
            **values,
        )
        jobs = tuple(map(_shown, rows[:limit]))
        return Page(jobs, sort.cursor(rows[limit - 1]) if len(rows) > limit else None)

    async def count(self, tenant: str, *, states: Sequence[State] = (), search: str = "") -> int:
        """Return the number of the tenant's jobs on all pages."""
        row = await self._database.one("count_jobs", tenant=tenant, states=[*states], search=search)
        return int(row["jobs"])

    async def position(self, tenant: str, job: UUID) -> Position | None:
        """Return a job's position in the queue, or None if it is not queued."""
        async with self._database.transaction() as transaction:
            place = await transaction.first("find_place", tenant=tenant, job=job)
            return await _position(transaction, **place) if place else None

    async def forecast(self, tenant: str, audio_seconds: float, result_version: str) -> Position:
        """Return the position that a new job of the tenant would have.

        Args:
            tenant: owner of the job.
            audio_seconds: seconds of audio to separate.
            result_version: version of the model.
        """
        async with self._database.transaction() as transaction:
            row = await transaction.one("find_virtual_start", tenant=tenant)
            priority = entry_priority(row["virtual_start"])
            return await _position(transaction, priority, _NEWEST, audio_seconds, result_version)

    async def events(self, tenant: str, job: UUID, after: int = 0) -> list[JobEvent]:
        """Return a job's events after a given one, of which there are few; an unknown job has none."""
        rows = await self._database.rows("list_events", tenant=tenant, job=job, after=after)
        return [JobEvent.from_row(row) for row in rows]

    async def delete(self, tenant: str, job: UUID) -> Job:
        """Cancel a job if it has not ended, and hide it; ``Retention`` erases it later.

        Of its webhooks, only the one about the cancellation is still sent.

        Raises:
            UnknownJobError: if the tenant has no such job.
        """
        async with self._locked(tenant) as transaction:
            await transaction.do("drop_webhooks", job=job)
            entry = await transaction.first("lock_entry_of_job", tenant=tenant, job=job)
            cancelled = await transaction.first("cancel_job", tenant=tenant, job=job)
            if cancelled is None:
                await _get(transaction, tenant, job)  # raises an error unless it has ended
            elif entry and cancelled["entry_id"] is None:
                await queue.remove(transaction, entry["id"])
            return Job.from_row(await transaction.one("delete_job", tenant=tenant, job=job))

    async def end_retention(self, tenant: str, until: UUID) -> None:
        """Have the tenant's jobs expire now, up to one of them, that have ended."""
        expired = 1
        while expired:  # in batches, since no statement may take long
            async with self._locked(tenant) as transaction:
                expired = await transaction.do("end_retention", tenant=tenant, until=until)

    async def expire(self, tenant: str, job: UUID, record: Callable[[Job], Awaitable[None]]) -> None:
        """Hide a job that has expired, unless it is hidden already; ``Retention`` erases it later.

        Args:
            tenant: owner of the job.
            job: id of the job.
            record: called before the job is hidden; if it raises an error, the job stays.
        """
        async with self._locked(tenant) as transaction:
            row = await transaction.first("delete_job", tenant=tenant, job=job)
            if row:
                await transaction.do("drop_webhooks", job=job)
                await record(Job.from_row(row))

    async def usage(self, tenant: str) -> Row:
        """Return how much the tenant holds of each of the service's shares, by the share's name."""
        return await self._database.one("measure_usage", tenant=tenant)

    async def load(self) -> Load:
        """Measure the queued and running jobs, for the metrics."""
        return Load(**await self._database.one("measure_queue"))

    async def known_prefixes(self, prefixes: Iterable[str]) -> set[str]:
        """Return those of some object prefixes that belong to a job or an upload."""
        rows = await self._database.rows("list_known_prefixes", prefixes=[*prefixes])
        return {row["prefix"] for row in rows}


async def _get(statements: Statements, tenant: str, job: UUID, *, erasing: bool = False) -> Row:
    row = await statements.first("get_job", tenant=tenant, job=job, erasing=erasing)
    if row is None:
        raise errors.UnknownJobError(f"Job {job} does not exist. It may have been deleted or have expired.")
    return row


def _shown(row: Row) -> Job:
    """Return a job as its tenant sees it."""
    job = Job.from_row(row)
    return replace(job, state=State.ERASING, result=None, preview=None) if row["deleted"] else job


async def _repeated(
    transaction: Transaction, tenant: str, key: str | None, body_hash: str | None
) -> Row | None:
    if key is None:
        return None
    await transaction.do("release_expired_key", tenant=tenant, idempotency_key=key)
    row = await transaction.first("find_by_idempotency_key", tenant=tenant, idempotency_key=key)
    if row and row["body_hash"] != body_hash:
        raise errors.IdempotencyConflictError(
            f"The idempotency key {key!r} was used before with another body. Send the same "
            "body again to get the same job, or use a new key."
        )
    return row


async def check_bounds(transaction: Transaction, tenant: str, bounds: Sequence[Bound]) -> None:
    """Check that a tenant may hold more of some shares, and keep others from taking it until the commit.

    Raises:
        ShareError: if not.
    """
    if bounds:
        await transaction.do("lock_usage")
        usage = await transaction.one("measure_usage", tenant=tenant)
        for bound in bounds:
            bound.check(usage[bound.share], usage[f"all_{bound.share}"])


def _values(new: NewJob) -> dict[str, Any]:
    return vars(new) | {
        "options": Jsonb(new.options.to_json()),
        "options_hash": new.options.digest(new.result_version),
    }


async def _position(
    transaction: Transaction, priority: int, entry: int, audio_seconds: float, result_version: str
) -> Position:
    ahead = await transaction.one(
        "measure_ahead", priority=priority, entry=entry, result_version=result_version
    )
    slots = max(1, ahead["slots"])
    wait = ahead["seconds"] / slots if ahead["jobs"] >= slots else 0.0
    estimate = None if ahead["pace"] is None else wait + audio_seconds * ahead["pace"]
    return Position(ahead["queued"] + 1, ahead["audio_seconds"], estimate)
