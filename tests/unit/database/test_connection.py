"""Connections are made as soon as a server that restarts accepts them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from spleeter_microservice.database import connection
from spleeter_microservice.database.connection import PatientConnection

pytestmark = pytest.mark.asyncio


async def test_connecting_waits_for_a_server_that_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[str] = []

    async def connect(_: object, /, url: str, **options: Any) -> str:
        attempts.append(url)
        if len(attempts) % 3:
            raise psycopg.OperationalError("the database system is starting up")
        return "connected"

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", classmethod(connect))
    monkeypatch.setattr(connection, "_IDLE", 0.0)
    assert str(await PatientConnection.connect("postgresql://")) == "connected"
    assert len(attempts) == 3
    monkeypatch.setattr(connection, "_RESTART", -1.0)
    with pytest.raises(psycopg.OperationalError):
        await PatientConnection.connect("postgresql://")
    assert len(attempts) == 4
