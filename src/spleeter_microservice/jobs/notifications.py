"""What the database tells about jobs as it happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg

from spleeter_microservice.database.connection import CONNECTION_OPTIONS

logger = logging.getLogger(__name__)

CHANNEL = "spleeter_jobs"
DELETED = "deleted"
"""In a notice, the state of a job that was deleted."""


@dataclass(frozen=True)
class Notice:
    """Something that happened to a job; ``event`` is the number of its event, if it has one."""

    job: UUID
    state: str
    progress: float
    event: int | None


class JobNotifications:
    """Listens to the database, connecting again whenever it comes back.

    Args:
        url: of the database.
        on_notice: called with every notice, and with None after each connecting: what happened
            before is not told, so whoever cares looks it up then.
        pause: seconds between attempts to connect.
    """

    def __init__(self, url: str, on_notice: Callable[[Notice | None], None], pause: float = 1.0) -> None:
        self._url = url
        self._on_notice = on_notice
        self._pause = pause

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            with contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError):
                await self._listen()
            logger.warning("not listening to the database: it cannot be reached")
            await asyncio.sleep(self._pause)

    async def _listen(self) -> None:
        connecting = psycopg.AsyncConnection.connect(self._url, autocommit=True, **CONNECTION_OPTIONS)
        async with await connecting as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._on_notice(None)
            async for notification in connection.notifies():
                self._on_notice(parse_notice(notification.payload))


def parse_notice(payload: str) -> Notice:
    """Read what the trigger of ``spleeter_jobs`` sends."""
    values = json.loads(payload)
    return Notice(UUID(values["job"]), values["state"], values["progress"], values.get("event"))
