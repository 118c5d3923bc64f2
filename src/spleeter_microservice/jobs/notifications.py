"""Notifications of changes to jobs, from PostgreSQL's LISTEN and NOTIFY, which no pooler passes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from spleeter_microservice.database.connection import (
    CONNECTION_OPTIONS,
    Connection,
    PatientConnection,
    through_pooler,
)

logger = logging.getLogger(__name__)

CHANNEL = "spleeter_jobs"
DELETED = "deleted"
"""State, in a notice, of a job that was deleted."""


@dataclass(frozen=True)
class Notice:
    """A change of a job.

    Attributes:
        job, state, progress: the job, as it is now.
        event: number of the change's event, if it has one.
        warned: whether the job has warnings.
        preview: how far its previews reach, as the values of ``Preview``, if it has any.
    """

    job: UUID
    state: str
    progress: float
    event: int | None
    warned: bool
    preview: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class JobNotifications:
    """A listener for changes of jobs, which reconnects when the database comes back.

    Attributes:
        url: URL of the database.
        on_notice: called with every notice, and with None after each connect: earlier changes are not
            announced, so that subscribers must look them up. Behind a pooler, it is called with None only.
        pause: seconds between attempts to connect.
        poll: seconds between calls behind a pooler.
        quiet: seconds after which to ask the server whether it is still there.
    """

    url: str
    on_notice: Callable[[Notice | None], None]
    pause: float = 1.0
    poll: float = 2.0
    quiet: float = 15.0

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            with contextlib.suppress(psycopg.OperationalError, psycopg.InterfaceError):
                await self._listen()
            logger.warning("lost the connection for notifications; reconnecting")
            await asyncio.sleep(self.pause)

    async def _listen(self) -> None:
        connecting: Awaitable[Connection] = PatientConnection.connect(
            self.url, autocommit=True, row_factory=dict_row, **CONNECTION_OPTIONS
        )
        async with await connecting as connection:
            direct = not await through_pooler(connection)
            if direct:
                await connection.execute(f"LISTEN {CHANNEL}")
                self.on_notice(None)
            while direct:
                async for notification in connection.notifies(timeout=self.quiet):
                    self.on_notice(parse_notice(notification.payload))
                await connection.execute("SELECT 1")  # raises an error if the server does not answer
        logger.warning(
            "a pooler passes no notifications on; set SPLEETER_DATABASE_DIRECT_URL, or changes are polled"
        )
        while True:
            self.on_notice(None)
            await asyncio.sleep(self.poll)


def parse_notice(payload: str) -> Notice:
    """Read the payload that the trigger of ``spleeter_jobs`` sends."""
    values = json.loads(payload)
    event, warned = values.get("event"), values.get("warned", False)
    preview = values.get("preview")
    return Notice(UUID(values["job"]), values["state"], values["progress"], event, warned, preview)
