"""One PostgreSQL server for all processes of a test run, and databases on it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from filelock import FileLock

from spleeter_microservice.database.embedded import EmbeddedPostgres
from spleeter_microservice.database.migrate import migrate

_START = """
import sys
from pathlib import Path
from spleeter_microservice.database.embedded import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).start()
"""

# Without triggers and foreign keys; TRUNCATE, which makes new files, takes eight times as long.
_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT LIKE '%migrations'
    LOOP
        EXECUTE 'DELETE FROM ' || quote_ident(name);
    END LOOP;
    INSERT INTO spleeter_audit_head (sequence, hash, seal) VALUES (0, repeat('0', 64), '');
END $$
"""


@dataclass(frozen=True)
class PostgresServer:
    """A server on which databases are created.

    Attributes:
        url: the URL of a migrated database, to which nothing connects.
        template: the name of this process's own copy of it.
    """

    url: str
    template: str

    def url_of(self, database: str) -> str:
        """Return the URL of a database."""
        return self.url.replace("/spleeter?", f"/{database}?")

    @contextmanager
    def database(self, template: str) -> Iterator[str]:
        """Create a database, yield its name, and drop it."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
            yield name
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def shared_server(folder: Path) -> Iterator[PostgresServer]:
    """Yield the server in a directory; the first process starts it, and the last one to leave stops it."""
    folder.mkdir(exist_ok=True)
    embedded = EmbeddedPostgres(folder / "server")
    with (folder / "users").open("a") as users:  # each process holds a shared lock on it
        with FileLock(folder / "lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not embedded.answers():
                # A child starts it and exits: a server outlives its owner, and needs none until the end.
                subprocess.run([sys.executable, "-c", _START, embedded.folder], check=True)
                with psycopg.connect(embedded.url, autocommit=True) as connection:
                    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                        connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
                    connection.execute("SELECT pg_reload_conf()")
                migrate(embedded.url)
        with PostgresServer(embedded.url, "spleeter").database("spleeter") as template:
            yield PostgresServer(embedded.url, template)
        with FileLock(folder / "lock"):
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process still uses it
            embedded.start()
            embedded.stop()


def empty(url: str) -> None:
    """Delete all rows of a migrated database but the records of its migrations."""
    with psycopg.connect(url) as connection:
        connection.execute(_EMPTY)
