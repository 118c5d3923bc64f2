"""The audit log: records in PostgreSQL, each linked to the one before by its hash.

Rows are only added; triggers refuse everything else. The row of ``spleeter_audit_head`` names the newest
record and is moved together with it, so that of several processes only one can add the next record. Its seal
is an HMAC under a key that the database does not have. Each record is also copied to the program's log.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from spleeter_microservice import errors
from spleeter_microservice.audit.record import (
    BEGINNING,
    Action,
    AuditEvent,
    ChainHead,
    canonical,
    compose,
    head_of,
)
from spleeter_microservice.database.connection import Database, Row

logger = logging.getLogger(__name__)

_BATCH = 100  # records; bounds the size of a statement


@dataclass(frozen=True)
class _Waiting:
    """An event to record, its time, and what its caller waits for."""

    event: AuditEvent
    at: datetime
    recorded: asyncio.Future[ChainHead]


class AuditLog:
    """An audit log that can be appended to.

    Args:
        database: an open database.
        keys: keys of the seal; the first one seals, and all are accepted. Without one, nothing is sealed.
    """

    def __init__(self, database: Database, keys: Sequence[bytes] = ()) -> None:
        self._database = database
        self._keys = keys
        self._newest = BEGINNING
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, event: AuditEvent) -> ChainHead:
        """Append a record, entirely or not at all, and return it as the log's head.

        Events that arrive while others are being written share one statement.

        Raises:
            AuditUnwritableError: if the record cannot be written. The action to be recorded should then
                not take place.
        """
        waiting = _Waiting(event, datetime.now(UTC), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            # Without the caller's context: the request in it is not that of the other records.
            self._writing = asyncio.create_task(self._write(), context=contextvars.Context())
        return await waiting.recorded

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            try:
                records = await self._append(batch)
            except Exception as error:
                self._fail(batch, error)
                continue
            for record in records:
                logger.info("audit record", extra={"audit": record})
            for waiting, record in zip(batch, records[-len(batch) :], strict=True):
                if not waiting.recorded.done():  # its caller may have been cancelled
                    waiting.recorded.set_result(head_of(record))

    @staticmethod
    def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
        if isinstance(error, errors.DatabaseFullError):
            error = errors.AuditDiskFullError(str(error))
        elif isinstance(error, errors.DatabaseUnavailableError | psycopg.Error):
            error = errors.AuditUnwritableError(f"The audit log cannot be written: {error}")
        for waiting in batch:
            if not waiting.recorded.done():
                waiting.recorded.set_exception(error)

    async def _append(self, batch: Sequence[_Waiting]) -> list[dict[str, Any]]:
        while True:
            row = await self._database.first("get_audit_head")
            if row is None:
                raise errors.AuditUnwritableError(
                    "The audit log has lost its head. Restore it from a backup."
                )
            records = self._chain(batch, row)
            head = head_of(records[-1])
            if await self._database.do(
                "append_audit",
                after=row["sequence"],
                previous=row["hash"],
                records=[canonical(record).decode("ascii") for record in records],
                sequence=head.sequence,
                hash=head.hash,
                seal=seal(head, self._keys[0]) if self._keys else "",
            ):
                self._newest = head
                return records

    def _chain(self, batch: Sequence[_Waiting], row: Row) -> list[dict[str, Any]]:
        """Return the records of some events as they follow the head."""
        events = [(waiting.event, waiting.at) for waiting in batch]
        if not self._is_trusted(row):
            events.insert(0, (AuditEvent(Action.AUDIT_UNSEALED, "failed"), batch[0].at))
        head, records = ChainHead(row["sequence"], row["hash"]), []
        for event, at in events:
            records.append(compose(event, head, at))
            head = head_of(records[-1])
        return records

    def _is_trusted(self, row: Row) -> bool:
        if row["seal"] and not self._keys:
            raise errors.AuditUnwritableError(
                "The audit log is sealed with a key that this process does not have. Set "
                "SPLEETER_AUDIT_KEY to the key of the other processes."
            )
        if row["sequence"] < self._newest.sequence:
            return False  # it went back since this process wrote to it
        return not row["sequence"] or not self._keys or is_sealed(row, self._keys)


def seal(head: ChainHead, key: bytes) -> str:
    """Return the seal of a head."""
    return hmac.new(key, f"audit head {head.sequence}:{head.hash}".encode(), hashlib.sha256).hexdigest()


def is_sealed(row: Row, keys: Sequence[bytes]) -> bool:
    """Return whether a row of the head has the seal of one of some keys."""
    head = ChainHead(row["sequence"], row["hash"])
    return any(hmac.compare_digest(seal(head, key), row["seal"]) for key in keys)
