"""Retention: deleted and expired jobs are erased."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from spleeter_microservice import errors
from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.jobs.repository import JobRepository

logger = logging.getLogger(__name__)

Erase = Callable[[str], Awaitable[None]]
"""A function that erases everything below a prefix of the object store, if anything exists there."""
Record = Callable[[Job], Awaitable[None]]
_BATCH = 100


async def _record_nothing(job: Job) -> None:
    pass


class Retention:
    """An eraser of jobs: objects first, then rows, so that a crash leaves nothing behind.

    Args:
        database: an open database.
        erase: function that erases a job's objects.
        record: function that records that a job has expired; if it fails, the job stays until it succeeds.
    """

    def __init__(self, database: Database, erase: Erase, record: Record = _record_nothing) -> None:
        self._database = database
        self._erase = erase
        self._record = record
        self._repository = JobRepository(database)

    async def sweep(self) -> int:
        """Erase every expired or deleted job that no worker holds.

        Returns:
            the number of jobs erased; the others are left for the next sweep.
        """
        erased = 0
        while True:
            await self._expire()
            jobs = await self._database.rows("list_erasable", job=None, limit=_BATCH)
            done = await self._erase_each(jobs)
            erased += done
            if not done or len(jobs) < _BATCH:
                return erased

    async def _expire(self) -> None:
        for row in await self._database.rows("list_expired", limit=_BATCH):
            try:
                await self._repository.expire(row["tenant"], row["id"], self._record)
            except errors.AuditUnwritableError:
                logger.exception("cannot record that a job expired", extra={"job_id": str(row["id"])})
                break

    async def _erase_each(self, jobs: list[Row]) -> int:
        erased = 0
        for row in jobs:
            try:
                erased += await self._erase_one(row)
            except errors.StorageRefusedError as error:
                logger.warning("cannot erase a job's objects: %s", error, extra={"job_id": str(row["id"])})
            except errors.StorageUnavailableError as error:
                logger.warning("cannot erase objects: %s", error)
                break
        return erased

    async def erase(self, job: UUID, timeout: float = 5.0) -> bool:
        """Erase a deleted job as soon as its worker has released it.

        Returns:
            False if this cannot be done within ``timeout`` seconds; a sweep does it later.
        """
        try:
            async with asyncio.timeout(timeout):
                while not (row := await self._database.first("list_erasable", job=job, limit=1)):
                    if await self._database.first("exists_job", job=job) is None:
                        return True
                    await asyncio.sleep(0.05)
                return await self._erase_one(row)
        except (TimeoutError, errors.StorageUnavailableError) as error:
            logger.warning("erasing a job later: %r", error, extra={"job_id": str(job)})
            return False

    async def _erase_one(self, row: Row) -> bool:
        if not row["shared"]:
            try:
                await self._erase(row["prefix"])
            except (errors.StorageUnavailableError, errors.DatabaseUnavailableError):
                raise
            except Exception:
                logger.exception("cannot erase a job's objects", extra={"job_id": str(row["id"])})
                return False
        async with self._database.transaction() as transaction:
            return bool(
                await transaction.do("keep_for_webhook", job=row["id"])
                or await transaction.do("forget_job", job=row["id"])
            )
