"""The audit log as tests see it: read, tampered with, and made unwritable."""

from __future__ import annotations

import json
from typing import Any

import psycopg


def audited(url: str) -> list[dict[str, Any]]:
    """Return the records in a database, in order."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT record FROM spleeter_audit ORDER BY sequence").fetchall()
    return [json.loads(record) for (record,) in rows]


def tamper(url: str, statements: str) -> None:
    """Run statements as a superuser for whom no trigger fires."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statements.encode())


def make_unwritable(url: str) -> None:
    """Take the head away, so that no record can follow it."""
    tamper(url, "DELETE FROM spleeter_audit_head")
