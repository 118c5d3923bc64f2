"""The connections to PostgreSQL, and transactions of named statements."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Self

import psycopg
from procrastinate.exceptions import ConnectorException
from procrastinate.sql import parse_query_file
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from spleeter_microservice.errors import DatabaseUnavailableError

Connection = psycopg.AsyncConnection[DictRow]
Row = DictRow

STATEMENTS = parse_query_file((resources.files(__package__) / "queries.sql").read_text(encoding="utf-8"))
CONNECTION_OPTIONS: dict[str, Any] = {
    "application_name": "spleeter-microservice",
    "connect_timeout": 5,  # seconds
    # A database that vanished without a word is noticed within about ten seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}


_IDLE = 0.2  # seconds; less than any restart takes
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)


def _unavailable(error: BaseException) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(
        f"The database cannot be reached ({error}). Try again later; if it stays so, see that "
        "PostgreSQL runs and that SPLEETER_DATABASE_URL is right."
    )


class Transaction:
    """A transaction under way; its statements are those of ``queries.sql``, by name."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def do(self, statement: str, **arguments: Any) -> int:
        """Run a statement and tell how many rows it touched."""
        return (await self.connection.execute(STATEMENTS[statement], arguments)).rowcount

    async def first(self, statement: str, **arguments: Any) -> Row | None:
        """Give the first row, if there is one."""
        return await (await self.connection.execute(STATEMENTS[statement], arguments)).fetchone()

    async def one(self, statement: str, **arguments: Any) -> Row:
        """Give the one row that there always is."""
        row = await self.first(statement, **arguments)
        assert row is not None, statement
        return row

    async def rows(self, statement: str, **arguments: Any) -> list[Row]:
        """Give all rows."""
        return await (await self.connection.execute(STATEMENTS[statement], arguments)).fetchall()


class _PooledConnection(psycopg.AsyncConnection[DictRow]):
    """A connection that knows when it was used last."""

    used_at = 0.0


async def _check(connection: _PooledConnection) -> None:
    """See that a connection that lay idle is not one from before a restart.

    One in steady use would have shown it; asking each time doubles the cost of small statements.
    """
    if time.monotonic() - connection.used_at > _IDLE:
        await AsyncConnectionPool.check_connection(connection)


class Database:
    """A pool of connections that outlives the database's absences.

    Args:
        url: ``postgresql://…``, with everything that libpq understands.
        connections: at most this many at a time.
        timeout: seconds to wait for a connection before the database counts as away.
    """

    def __init__(self, url: str, *, connections: int = 8, timeout: float = 2.0) -> None:
        self.url = url
        self.timeout = timeout
        self.pool: AsyncConnectionPool[_PooledConnection] = AsyncConnectionPool(
            url,
            kwargs=CONNECTION_OPTIONS | {"row_factory": dict_row, "autocommit": True},
            connection_class=_PooledConnection,
            min_size=1,
            max_size=connections,
            timeout=timeout,
            check=_check,
            reconnect_timeout=timeout,
            open=False,
        )

    async def __aenter__(self) -> Self:
        """Open the pool; the database need not be there yet."""
        await self.pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Give a transaction, committed on leaving unless by an exception.

        Raises:
            DatabaseUnavailableError: when the database is away, or goes away in the middle;
                the transaction may have been committed nevertheless.
        """
        async with self._connection() as connection, connection.transaction():
            yield Transaction(connection)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Transaction]:
        """Give what runs a single statement, which is a transaction by itself: a third of the round trips.

        Raises:
            DatabaseUnavailableError: as ``transaction``.
        """
        async with self._connection() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_PooledConnection]:
        try:
            async with self.pool.connection() as connection:
                yield connection
                connection.used_at = time.monotonic()
        except ConnectorException as error:  # around what psycopg raised
            if not isinstance(error.__cause__, _AWAY):
                raise
            raise _unavailable(error.__cause__) from error
        except _AWAY as error:
            raise _unavailable(error) from error

    async def ping(self) -> None:
        """See that the database answers.

        Raises:
            DatabaseUnavailableError: when it does not.
        """
        async with self.statement() as statement:
            await statement.connection.execute("SELECT 1")
