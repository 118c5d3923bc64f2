"""The objects of jobs, whose keys are noted before they are written: they can be erased without a list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from spleeter_microservice.access.shares import Bound
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import StorageRefusedError
from spleeter_microservice.storage.store import Storage

JOBS_PREFIX = "separations"
"""First part of every job's prefix, ``separations/{id}``."""
UPLOADS_PREFIX = "resumable-uploads"
"""First part of every resumable upload's prefix, which queries.sql repeats."""


class JobObjects:
    """The objects of jobs.

    Every method raises ``DatabaseUnavailableError`` if the database is unavailable.

    Args:
        database: an open database.
        storage: the object store.
    """

    def __init__(self, database: Database, storage: Storage) -> None:
        self.storage = storage
        self._database = database

    async def note(
        self, tenant: str, prefix: str, sizes: Mapping[str, int], kept: timedelta = timedelta()
    ) -> None:
        """Note the keys and sizes of objects that are about to be written below a prefix.

        Args:
            tenant: owner of the objects.
            prefix: prefix of a job or an upload.
            sizes: sizes of the objects in bytes, by their keys.
            kept: time for which no sweeper erases them, even one that does not know their owner.
        """
        keys, counts = [*sizes], [*sizes.values()]
        await self._database.do(
            "note_objects", tenant=tenant, prefix=prefix, keys=keys, sizes=counts, kept=kept
        )

    async def check(self, tenant: str, bound: Bound) -> None:
        """Check that a tenant may store more.

        Raises:
            ShareError: if not.
        """
        used = await self._database.one("measure_usage", tenant=tenant)
        bound.check(used[bound.share], used[f"all_{bound.share}"])

    async def erase(self, prefix: str) -> None:
        """Erase every object below a job's prefix, if any exists.

        Raises:
            StorageUnavailableError: if the object store is unavailable, or refuses.
        """
        noted = [row["key"] for row in await self._database.rows("list_objects", prefix=prefix)]
        await self.storage.delete_prefix(prefix, noted)
        await self._database.do("forget_objects", prefix=prefix)

    async def old_prefixes(self, before: datetime) -> list[str]:
        """Return the prefixes whose objects all date from before a time.

        Raises:
            StorageUnavailableError: if the object store is unavailable.
        """
        noted = {row["prefix"] for row in await self._database.rows("list_old_prefixes", before=before)}
        newest: dict[str, datetime] = {}
        try:
            for root in (JOBS_PREFIX, UPLOADS_PREFIX):
                async for found in self.storage.list(root):
                    prefix = "/".join(found.key.split("/", 2)[:2])
                    newest[prefix] = max(found.modified, newest.get(prefix, found.modified))
        except StorageRefusedError:
            return [*noted]
        return [prefix for prefix in noted | newest.keys() if newest.get(prefix, before) <= before]
