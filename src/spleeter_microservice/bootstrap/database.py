"""The database that the settings name, or the embedded one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from spleeter_microservice.database.connection import Database
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.migrate import migrate
from spleeter_microservice.errors import DatabaseInUseError, DatabaseUnavailableError
from spleeter_microservice.jobs.claims import Claims
from spleeter_microservice.settings import Settings
from spleeter_microservice.worker.worker import worker_name

logger = logging.getLogger(__name__)

_PAUSE = 1.0  # seconds between attempts to migrate


def embedded_database(settings: Settings) -> EmbeddedPostgres:
    """Give the embedded PostgreSQL of the data folder, not started."""
    return EmbeddedPostgres(settings.data_dir / "postgres")


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Give the address of a database that runs and is migrated, for a short command.

    The embedded one is started for as long as the context lasts, unless ``serve`` has it running.

    Raises:
        DatabaseError: when it cannot be used.
    """
    if settings.database_url:
        migrate(settings.database_url)
        yield settings.database_url
        return
    server = embedded_database(settings)
    try:
        server.start()
    except DatabaseInUseError:
        if not server.answers():
            raise
        yield server.url
        return
    try:
        migrate(server.url)
        yield server.url
    finally:
        server.stop()


async def migrated(url: str) -> None:
    """Bring the schema to the state that this program needs, as soon as the database is there."""
    while True:
        try:
            await asyncio.to_thread(migrate, url)
        except DatabaseUnavailableError as error:
            logger.warning("waiting for the database: %s", error)
            await asyncio.sleep(_PAUSE)
        else:
            return


async def bury_worker(url: str, pid: int) -> None:
    """Have other workers do at once what a worker of this machine did that is known to be dead."""
    async with Database(url, connections=1) as database:
        for takeover in await Claims(database).requeue_jobs_of(worker_name(pid)):
            logger.warning("a worker died", extra={"job_id": str(takeover.job.id)})
