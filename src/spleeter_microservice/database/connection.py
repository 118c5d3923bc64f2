"""Connections to PostgreSQL, and transactions of named statements."""

from __future__ import annotations

import asyncio
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg
from procrastinate.sql import parse_query_file, queries
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from spleeter_microservice.errors import DatabaseFullError, DatabaseUnavailableError

Connection = psycopg.AsyncConnection[DictRow]
Row = DictRow
T = TypeVar("T")

STATEMENTS = {f"procrastinate.{name}": sql for name, sql in queries.items()} | parse_query_file(
    (resources.files(__package__) / "queries.sql").read_text(encoding="utf-8")
)
"""The statements of ``queries.sql`` and Procrastinate's, by name."""
CONNECTION_OPTIONS: dict[str, Any] = {
    "application_name": "spleeter-microservice",
    "connect_timeout": 5,  # seconds
    # Together they notice within about ten seconds that the server's machine is gone.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}

_WAKE_SECONDS = 60.0  # psycopg wakes up that often for Ctrl-C, which asyncio handles itself
_IDLE = 0.2  # seconds; less than any restart takes
_RESTART = 2.0  # seconds; the embedded server seldom takes longer to recover from a crash
_WAL_SEGMENT_BYTES = 16 << 20  # PostgreSQL stops if it cannot write a new one
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)


def _is_full(error: BaseException) -> bool:
    """Return whether an error says that a disk, a quota or the limit on a file's size is exhausted."""
    hint = error.diag.message_hint if isinstance(error, psycopg.Error) else None
    return isinstance(error, psycopg.errors.DiskFull) or hint == "Check free disk space."


def _unavailable(error: BaseException, disk: Path | None) -> DatabaseUnavailableError:
    no_segment = disk is not None and shutil.disk_usage(disk).free < _WAL_SEGMENT_BYTES
    if no_segment or _is_full(error):
        return DatabaseFullError(f"The database has no space left ({error}). Free some on its disk.")
    return DatabaseUnavailableError(
        f"The database cannot be reached ({error}). Try again later; if this lasts, check that "
        "PostgreSQL is running and that SPLEETER_DATABASE_URL is right."
    )


def _complete(statement: str, parts: Mapping[str, str] | None) -> str:
    return STATEMENTS[statement].format(**parts) if parts else STATEMENTS[statement]


class Statements(ABC):
    """Statements that are run by their names in ``STATEMENTS``."""

    @abstractmethod
    async def run(
        self, statement: str, parts: Mapping[str, str] | None = None, /, **arguments: Any
    ) -> psycopg.AsyncCursor[DictRow]:
        """Run a statement and return its result; ``parts`` are SQL for its names in braces."""

    async def do(self, statement: str, **arguments: Any) -> int:
        """Run a statement and return the number of rows that it affected."""
        return (await self.run(statement, **arguments)).rowcount

    async def first(self, statement: str, **arguments: Any) -> Row | None:
        """Return the first row, or None if there is none."""
        return await (await self.run(statement, **arguments)).fetchone()

    async def one(self, statement: str, **arguments: Any) -> Row:
        """Return the only row of a statement that always has one."""
        row = await self.first(statement, **arguments)
        assert row is not None, statement
        return row

    async def rows(
        self, statement: str, parts: Mapping[str, str] | None = None, /, **arguments: Any
    ) -> list[Row]:
        """Return all rows."""
        return await (await self.run(statement, parts, **arguments)).fetchall()


class Transaction(Statements):
    """An open transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def run(
        self, statement: str, parts: Mapping[str, str] | None = None, /, **arguments: Any
    ) -> psycopg.AsyncCursor[DictRow]:
        """Run a statement in the transaction."""
        return await self.connection.execute(_complete(statement, parts), arguments)

    async def stream(self, statement: str, **arguments: Any) -> AsyncIterator[Row]:
        """Yield the rows as the server sends them, which needs a transaction."""
        async with self.connection.cursor(name=statement) as cursor:
            await cursor.execute(STATEMENTS[statement], arguments)
            async for row in cursor:
                yield row


async def through_pooler(connection: Connection) -> bool:
    """Return whether a pooler, such as PgBouncer, stands between this process and the server.

    A pooler invents the process id that it announces, because it may run each transaction in another
    process of the server. Prepared statements and LISTEN, which belong to one such process, then fail.
    """
    row = await (await connection.execute("SELECT pg_backend_pid() AS pid")).fetchone()
    return row is None or row["pid"] != connection.info.backend_pid


class PatientConnection(psycopg.AsyncConnection[DictRow]):
    """A connection that is closed if the server does not answer, which no setting of TCP notices.

    A server that is stopped, or a proxy before one that is away, still acknowledges what is sent to it.

    Attributes:
        used_at: monotonic time at which it was last used.
        patience: seconds to wait for an answer.
    """

    used_at = 0.0
    patience = 10.0

    @classmethod
    async def connect(cls, *args: Any, **kwargs: Any) -> Self:
        """Connect; while the server starts, try again sooner than the pool, which pauses for seconds."""
        deadline = time.monotonic() + _RESTART
        while True:
            try:
                return await super().connect(*args, **kwargs)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_IDLE)

    async def wait(self, gen: PQGen[T], interval: float = _WAKE_SECONDS, timeout: float | None = None) -> T:
        """Wait for the server; close the connection if it takes too long, or if the caller is cancelled.

        The original asks the server to cancel the statement instead, and waits for that.
        """
        if timeout is not None:  # waiting for notifications
            return await super().wait(gen, interval, timeout)
        try:
            async with asyncio.timeout(self.patience):
                return await waiting.wait_async(gen, self.pgconn.socket, interval)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise
        except TimeoutError as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {self.patience:g} s") from error


def _cancellations() -> int:
    """Return how often the current task has been cancelled.

    The pool waits by ``asyncio.wait_for``, which in Python 3.11 loses a cancellation that comes together with
    what it waits for.
    """
    task = asyncio.current_task()
    return task.cancelling() if task else 0


async def _configure(connection: PatientConnection) -> None:
    if await through_pooler(connection):
        connection.prepare_threshold = None


class Database(Statements):
    """A pool of connections that survives outages of the database.

    Its own statements are each a transaction, which takes a third of the round trips of an explicit one. They
    raise ``DatabaseUnavailableError`` if the database is unavailable.

    Args:
        url: ``postgresql://…``, with any parameter that libpq understands.
        direct_url: URL of the same database that leads past any pooler; ``url`` if None.
        connections: maximum number of open connections.
        timeout: seconds to wait for a connection before the database counts as unavailable; it does, too, if
            it leaves a statement unanswered for ``PatientConnection.patience``.
        disk: folder on the disk of a server on this machine; if that disk is full, errors say so.
    """

    def __init__(
        self,
        url: str,
        direct_url: str | None = None,
        *,
        connections: int = 8,
        timeout: float = 2.0,
        disk: Path | None = None,
    ) -> None:
        self.url = url
        self.direct_url = direct_url or url
        self.disk = disk
        self.pool: AsyncConnectionPool[PatientConnection] = AsyncConnectionPool(
            url,
            kwargs=CONNECTION_OPTIONS | {"row_factory": dict_row, "autocommit": True},
            connection_class=PatientConnection,
            min_size=1,
            max_size=connections,
            timeout=timeout,
            configure=_configure,
            check=self._check,
            reconnect_timeout=timeout,
            open=False,
        )

    async def __aenter__(self) -> Self:
        """Open the pool; the database may still be starting."""
        await self.pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction; commit it unless the block raises.

        Raises:
            DatabaseUnavailableError: if the database is unavailable, or becomes so during the
                transaction, which may have been committed nevertheless.
        """
        async with self._connection() as connection, connection.transaction():
            yield Transaction(connection)

    async def run(
        self, statement: str, parts: Mapping[str, str] | None = None, /, **arguments: Any
    ) -> psycopg.AsyncCursor[DictRow]:
        """Run a statement as a transaction of its own."""
        async with self._connection() as connection:
            return await connection.execute(_complete(statement, parts), arguments)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PatientConnection]:
        cancelled = _cancellations()
        try:
            async with self.pool.connection() as connection:
                if _cancellations() > cancelled:
                    raise asyncio.CancelledError
                yield connection
                connection.used_at = time.monotonic()
        except psycopg.Error as error:
            if not isinstance(error, _AWAY) and not _is_full(error):
                raise
            raise _unavailable(error, self.disk) from error

    async def _check(self, connection: PatientConnection) -> None:
        """Check that an idle connection does not date from before a restart of the server.

        A connection in steady use would have failed already, and checking it each time would double the
        cost of small statements. If one is lost, all are replaced: the pool pauses for a second or more after
        each further one that it finds.
        """
        if time.monotonic() - connection.used_at > _IDLE:
            try:
                await self.pool.check_connection(connection)
            except psycopg.Error:
                await self.pool.drain()
                raise

    async def ping(self) -> None:
        """Check that the database responds.

        Raises:
            DatabaseUnavailableError: if it does not.
        """
        async with self._connection() as connection:
            await connection.execute("SELECT 1")
