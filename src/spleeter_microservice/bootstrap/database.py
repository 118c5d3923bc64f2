"""The database that the settings name, or the embedded one."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import Action, AuditEvent
from spleeter_microservice.bootstrap.shared import PROGRAM_VERSION, audit_keys, make_folder
from spleeter_microservice.database.connection import Database
from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.migrate import migrate
from spleeter_microservice.errors import AuditUnwritableError, DatabaseInUseError, DatabaseUnavailableError
from spleeter_microservice.jobs.claims import Claims
from spleeter_microservice.settings import Settings
from spleeter_microservice.worker.worker import worker_name

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE_SECONDS = 1.0  # between attempts to migrate


def embedded_database(settings: Settings) -> EmbeddedPostgres:
    """Return the embedded PostgreSQL of the data folder, without starting it.

    Raises:
        ConfigurationError: if its folder cannot be written.
    """
    return EmbeddedPostgres(make_folder(settings.data_dir / "postgres"), outlives_owner=False)


def with_database(settings: Settings, action: Callable[[Database], Awaitable[T]]) -> T:
    """Carry out an action of a short command on a running and migrated database.

    The embedded database is started and stopped for it, unless ``serve`` is running it.

    Raises:
        ConfigurationError: if the embedded database cannot write its folder.
        DatabaseError: if the database cannot be used.
    """

    async def act(url: str) -> T:
        async with Database(url, connections=1, timeout=10.0) as database:
            return await action(database)

    with _database_url(settings) as url:
        return asyncio.run(act(url))


@contextmanager
def _database_url(settings: Settings) -> Iterator[str]:
    if settings.database_url:
        migrate(settings.database_direct_url or settings.database_url)
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


async def migrate_when_available(settings: Settings, url: str) -> None:
    """Migrate the database as soon as it is available.

    Raises:
        DatabaseTooNewError: if a newer version of this program has migrated it.
    """
    while True:
        try:
            await asyncio.to_thread(migrate, settings.database_direct_url or url)
        except DatabaseUnavailableError as error:
            logger.warning("waiting for the database: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return


@asynccontextmanager
async def recorded_service(settings: Settings, url: str) -> AsyncIterator[None]:
    """Record the start of the service, as soon as the database is available, and its stop."""

    async def record(action: Action) -> None:
        event = AuditEvent(action, details={"version": PROGRAM_VERSION, "pid": os.getpid()})
        try:
            async with Database(url, connections=1) as database:
                await AuditLog(database, audit_keys(settings)).record(event)
        except AuditUnwritableError:
            logger.exception("%s was not recorded in the audit log", action)

    async def record_start() -> None:
        await migrate_when_available(settings, url)
        await record(Action.SERVICE_STARTED)

    starting = asyncio.create_task(record_start())
    try:
        yield
    finally:
        if starting.done() and not starting.exception():
            await record(Action.SERVICE_STOPPED)
        starting.cancel()


async def requeue_jobs_of(url: str, pid: int) -> None:
    """Requeue the jobs that a worker of this machine was running when it exited."""
    async with Database(url, connections=1) as database:
        for takeover in await Claims(database).requeue_jobs_of(worker_name(pid)):
            logger.warning("job requeued after its worker exited", extra={"job_id": str(takeover.job.id)})
