"""The audit log as tests see it: read, tampered with, and made unwritable."""

from __future__ import annotations

import json
from typing import Any

import psycopg

UNGUARDED = """
ALTER TABLE spleeter_audit DISABLE TRIGGER USER;
ALTER TABLE spleeter_audit_head DISABLE TRIGGER USER;
"""
EMPTY = f"""
{UNGUARDED}
TRUNCATE spleeter_audit;
DELETE FROM spleeter_audit_head;
INSERT INTO spleeter_audit_head (sequence, hash, seal) VALUES (0, repeat('0', 64), '');
"""


def audited(url: str) -> list[dict[str, Any]]:
    """Return the records in a database, in order."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT record FROM spleeter_audit ORDER BY sequence").fetchall()
    return [json.loads(record) for (record,) in rows]


def tamper(url: str, statements: str) -> None:
    """Run statements as an attacker who has switched the triggers off."""
    with psycopg.connect(url) as connection:
        connection.execute((UNGUARDED + statements).encode())


def make_unwritable(url: str) -> None:
    """Take the head away, so that no record can follow it."""
    tamper(url, "DELETE FROM spleeter_audit_head")
