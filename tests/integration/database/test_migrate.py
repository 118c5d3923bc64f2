"""The schema is migrated from nothing, from earlier states, and by many processes at once."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from spleeter_microservice.database.migrate import migrate, own_migrations, queue_migrations
from spleeter_microservice.errors import DatabaseTooNewError, DatabaseUnavailableError

_REPOSITORY = Path(__file__).parents[3]
ALL = list(own_migrations())


def schema(url: str) -> list[tuple[str, ...]]:
    """Return every column of every table, and every index, trigger and function."""
    with psycopg.connect(url) as connection:
        return [
            *connection.execute(
                "SELECT table_name, column_name, data_type, column_default FROM information_schema.columns"
                " WHERE table_schema = 'public' ORDER BY 1, 2"
            ),
            *connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
            *connection.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"),
        ]


def test_migrations_are_numbered_consecutively() -> None:
    assert [int(name[:4]) for name in ALL] == list(range(1, len(ALL) + 1))


def test_migrating_an_empty_database_twice_changes_nothing_the_second_time(empty_database_url: str) -> None:
    assert migrate(empty_database_url) == ALL
    before = schema(empty_database_url)
    assert migrate(empty_database_url) == []
    assert schema(empty_database_url) == before
    assert {"spleeter_jobs", "procrastinate_jobs"} <= {row[0] for row in before}


@pytest.mark.parametrize("last", ALL[:-1])
def test_every_earlier_schema_migrates_to_the_same_one(
    empty_database_url: str, database_url: str, last: str
) -> None:
    assert migrate(empty_database_url, last) == ALL[: ALL.index(last) + 1]
    assert migrate(empty_database_url) == ALL[ALL.index(last) + 1 :]
    assert schema(empty_database_url) == schema(database_url)


def test_earlier_jobs_are_kept_and_given_events(empty_database_url: str) -> None:
    migrate(empty_database_url, "0001_jobs")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO spleeter_jobs (id, tenant, state, options, options_hash, prefix, input_key,"
            " input_name, audio_seconds, content_hash, retention)"
            " VALUES (gen_random_uuid(), 'ann', 'queued', %s, '', 'p', 'k', 'n', 1, 'h', '1 hour')",
            [options := '{"callback_url": "https://example.com"}'],
        )
        result = '{"stems": [{"name": "vocals", "key": "p/stems/vocals.wav", "size": 7}]}'
        connection.execute("UPDATE spleeter_jobs SET result = %s", [result])
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT state FROM spleeter_events").fetchall() == [("queued",)]
        noted = connection.execute(
            "SELECT key FROM spleeter_objects WHERE prefix = 'p' ORDER BY key"
        ).fetchall()
        assert noted == [("k",), ("p/peaks/vocals.json",), ("p/stems/vocals.wav",)]
        assert connection.execute("SELECT * FROM spleeter_usage").fetchall() == [
            ("ann", 1, 1, 7 + len(options), 1, 0)
        ]


def test_migrations_that_procrastinate_adds_later_are_run_once(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_database_url)
    later = queue_migrations() | {"procrastinate/99.00.00_01_pre_later": "CREATE TABLE later ()"}
    monkeypatch.setattr("spleeter_microservice.database.migrate.queue_migrations", lambda: later)
    for _ in range(2):
        assert migrate(empty_database_url) == []
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regclass('later')").fetchone() != (None,)


def test_each_migration_is_run_by_one_of_five_processes(empty_database_url: str) -> None:
    script = (
        "import sys; from spleeter_microservice.database.migrate import migrate; "
        "print(len(migrate(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, empty_database_url],
            cwd=_REPOSITORY,
            env=os.environ | {"PYTHONPATH": "src"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    counts = [process.communicate()[0].strip() for process in processes]
    assert sum(map(int, counts)) == len(ALL)
    assert all(process.returncode == 0 for process in processes)


def test_a_failed_migration_is_rolled_back(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema(database_url)
    broken = own_migrations() | {"0999_broken": "CREATE TABLE half (); SELECT nonsense;"}
    monkeypatch.setattr("spleeter_microservice.database.migrate.own_migrations", lambda: broken)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        migrate(database_url)
    assert schema(database_url) == before


def test_a_database_migrated_by_a_newer_program_is_refused_unchanged(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("INSERT INTO spleeter_migrations (name) VALUES ('9000_future')")
    with pytest.raises(DatabaseTooNewError, match=r"9000_future.*Run that version"):
        migrate(empty_database_url)


def test_an_unavailable_database_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="SPLEETER_DATABASE_URL"):
        migrate(f"postgresql://nobody@/none?host={tmp_path}")
