"""Removal of what crashes leave behind: objects without a job, and incomplete files."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from spleeter_microservice.access.rate_limit import prune_rates
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.repository import JobRepository

logger = logging.getLogger(__name__)

_BATCH = 500


@dataclass(frozen=True)
class ObjectSweeper:
    """A sweeper of objects that killed processes left behind.

    Attributes:
        database: an open database.
        objects: the objects of jobs.
        age: minimum age of what is erased; an upload's objects exist before its job does.
        period: seconds between sweeps, over all workers.
    """

    database: Database
    objects: JobObjects
    age: timedelta = timedelta(hours=1)
    period: float = 3600.0

    async def sweep_if_due(self) -> int | None:
        """Sweep unless a worker did so within the period; return what ``sweep`` returns, or None."""
        if await self.database.first("claim_chore", name="leftovers", period=self.period):
            return await self.sweep()
        return None

    async def sweep(self) -> int:
        """Erase every prefix without a job, and incomplete files.

        Returns:
            the number of prefixes erased.

        Raises:
            DatabaseUnavailableError: if the database is unavailable.
            StorageUnavailableError: if the object store is unavailable.
        """
        before = datetime.now(UTC) - self.age
        await prune_rates(self.database)
        await self.objects.storage.remove_unfinished(before)
        erased = 0
        old = await self.objects.old_prefixes(before)
        for start in range(0, len(old), _BATCH):
            prefixes = old[start : start + _BATCH]
            known = await JobRepository(self.database).known_prefixes(prefixes)
            for prefix in set(prefixes) - known:
                logger.warning("erasing objects without a job", extra={"prefix": prefix})
                await self.objects.erase(prefix)
                erased += 1
        return erased
