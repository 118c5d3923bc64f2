"""The statements that docs/operations.md gives for a slow database, against a real one."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

import psycopg

from tests.support.documents import blocks
from tests.support.waiting import wait_until


def test_the_statement_shows_who_waits_and_ending_the_oldest_ends_the_waiting(database_url: str) -> None:
    (statement,) = (block.text for block in blocks("docs/operations.md", "sql"))
    done: list[str] = []

    def lock(name: str, then: str) -> None:
        with suppress(psycopg.errors.AdminShutdown), psycopg.connect(database_url) as connection:
            connection.execute("LOCK TABLE spleeter_jobs")
            connection.execute(then.encode())
            done.append(name)

    threads = [
        Thread(target=lock, args=("holder", "SELECT pg_sleep(60)")),
        Thread(target=lock, args=("waiter", "")),
    ]
    with psycopg.connect(database_url, autocommit=True) as operator:

        def shown() -> list[tuple[int, str, str]]:
            rows = operator.execute(statement.encode()).fetchall()
            return [
                (pid, wait, query)
                for pid, wait, _, query in rows
                if wait in ("Timeout", "Lock") and query.startswith(("LOCK", "SELECT pg_sleep"))
            ]

        threads[0].start()
        wait_until(lambda: [wait for _, wait, _ in shown()] == ["Timeout"])
        threads[1].start()
        oldest = wait_until(lambda: [wait for _, wait, _ in shown()] == ["Timeout", "Lock"] and shown()[0][0])
        operator.execute("SELECT pg_terminate_backend(%s)", (oldest,))
        for thread in threads:
            thread.join()
    assert done == ["waiter"]
