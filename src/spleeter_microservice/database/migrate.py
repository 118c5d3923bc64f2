"""Migrations of the database's schema.

The steps are Procrastinate's schema, Procrastinate's later migrations, and the files
``migrations/NNNN_name.sql`` in the order of their numbers. Each step is a transaction of its own, and
the table ``spleeter_migrations`` lists the steps done. Each transaction takes a lock first: if many processes
start together, each step is done by one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import psycopg
from procrastinate.schema import SchemaManager

from spleeter_microservice.errors import DatabaseTooNewError, DatabaseUnavailableError

logger = logging.getLogger(__name__)

_LOCK = 0x5350_4C45_4554  # key of the advisory lock; arbitrary
_QUEUE = "procrastinate/"
_QUEUE_FOLDER = Path(SchemaManager.get_migrations_path())


Step = tuple[str, tuple[str, ...]]
"""SQL to run, and the names of the migrations that it performs."""


def own_migrations() -> dict[str, str]:
    """Return the SQL of our migrations by name, in order."""
    return _files(resources.files(__package__) / "migrations")


def queue_migrations() -> dict[str, str]:
    """Return the SQL of Procrastinate's migrations by name, in order."""
    return {_QUEUE + name: sql for name, sql in _files(_QUEUE_FOLDER).items()}


def migrate(url: str, last: str | None = None) -> list[str]:
    """Run the migrations that a database lacks.

    Args:
        url: URL of the database.
        last: name of the last of our migrations to run; None runs all.

    Returns:
        the names of our migrations that were run by this call.

    Raises:
        DatabaseTooNewError: if a newer version of this program has migrated the database.
        DatabaseUnavailableError: if the database does not respond.
    """
    try:
        # A pooler may be in between: no prepared statements, and locks of transactions, not of sessions.
        with psycopg.connect(url, connect_timeout=10, autocommit=True, prepare_threshold=None) as connection:
            done: list[str] = []
            while (names := _do_next_step(connection, last)) is not None:
                done += names
            return [name for name in done if name in own_migrations()]
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            f"The database cannot be reached ({error}). Check that PostgreSQL is running and that "
            "SPLEETER_DATABASE_URL is right."
        ) from error


def _do_next_step(connection: psycopg.Connection, last: str | None) -> tuple[str, ...] | None:
    """Do the first step that is missing; return its names, or None if no step is missing."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spleeter_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {name for (name,) in connection.execute("SELECT name FROM spleeter_migrations")}
        _refuse_newer(applied - own_migrations().keys() - queue_migrations().keys())
        for sql, names in _missing(applied):
            if last is None or names[0] <= last or names[0].startswith(_QUEUE):
                logger.info("migrating the database", extra={"migration": names[-1]})
                connection.execute(sql.encode())
                for name in names:
                    connection.execute("INSERT INTO spleeter_migrations (name) VALUES (%s)", (name,))
                return names
    return None


def _missing(applied: set[str]) -> list[Step]:
    queue = queue_migrations()
    if applied & queue.keys():
        steps: list[Step] = [(sql, (name,)) for name, sql in queue.items() if name not in applied]
    else:
        steps = [(SchemaManager.get_schema(), tuple(queue))]
    return steps + [(sql, (name,)) for name, sql in own_migrations().items() if name not in applied]


def _refuse_newer(unknown: set[str]) -> None:
    if unknown:
        raise DatabaseTooNewError(
            f"The database was migrated by a newer version of this program ({', '.join(sorted(unknown))}). "
            "Run that version, or set SPLEETER_DATABASE_URL to another database."
        )


def _files(folder: Traversable) -> dict[str, str]:
    found: Sequence[tuple[str, str]] = [
        (entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return dict(sorted(found))
