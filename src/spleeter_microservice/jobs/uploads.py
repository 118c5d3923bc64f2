"""Resumable uploads: songs that arrive in parts, through any process of the service.

A part is an object; it belongs to the upload from the moment at which its position is recorded. Only the
process that holds the upload's lock adds parts. The lock ends soon after its process, and a process that has
lost it cannot add anything, because the fence has moved.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import UUID

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Bound
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import Action, AuditEvent
from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.jobs.job import new_job_id
from spleeter_microservice.jobs.objects import UPLOADS_PREFIX, JobObjects
from spleeter_microservice.jobs.repository import check_bounds

PARTIAL = "partial"
"""Value of ``Upload-Concat`` for an upload that others consist of."""
MOST_PARTS = 10_000
_LEASE = 5.0  # seconds for which a lock outlives its process
_LOCK_TRIES, _LOCK_PAUSE = 10, 0.2  # an interrupted request may still be storing what it received
_BATCH = 100


@dataclass(frozen=True)
class ResumableUpload:
    """A resumable upload.

    Attributes:
        length: size of the whole file in bytes.
        received: bytes that are stored.
        parts: number of parts that they are stored in.
        metadata: value of ``Upload-Metadata``, as the client sent it.
        concat: value of ``Upload-Concat``, as the client sent it.
        partials: uploads that it consists of; it has no parts of its own then.
        fence: number of the lock that its holder has.
    """

    id: UUID
    tenant: str
    length: int
    received: int
    parts: int
    metadata: str
    concat: str
    partials: Sequence[UUID]
    fence: int
    expires_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the upload of a row."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    @property
    def prefix(self) -> str:
        """The prefix of its objects."""
        return f"{UPLOADS_PREFIX}/{self.id}"


class ResumableUploads:
    """The resumable uploads of tenants.

    An upload that the tenant does not have raises ``UnknownUploadError``. Every method raises
    ``DatabaseUnavailableError`` if the database is unavailable.

    Args:
        database: an open database.
        objects: objects in the store.
        kept: time after the last part until an upload expires.
    """

    def __init__(self, database: Database, objects: JobObjects, kept: timedelta) -> None:
        self._database = database
        self._objects = objects
        self._kept = kept

    async def create(
        self,
        tenant: str,
        length: int | None,
        most: int,
        metadata: str,
        concat: str,
        partials: Sequence[UUID],
        bounds: Sequence[Bound],
    ) -> ResumableUpload:
        """Create an upload; one that consists of others is complete.

        Args:
            tenant: owner of the upload.
            length: size of the file in bytes, unless the upload consists of others.
            most: bytes that it may have.
            metadata: value of ``Upload-Metadata``.
            concat: value of ``Upload-Concat``.
            partials: the uploads that it consists of, in order.
            bounds: how much of the service's shares may be held.

        Raises:
            InvalidFieldsError: if the length is missing, or another upload is not a complete partial one.
            RequestTooLargeError: if it is too large.
            ShareError: if the tenant holds as much of a share as it may.
        """
        new = {"tenant": tenant, "metadata": metadata, "concat": concat, "partials": list(partials)}
        async with self._database.transaction() as transaction:
            await check_bounds(transaction, tenant, bounds)
            if partials:
                rows = await transaction.rows("keep_partials", **new, kept=self._kept)
                length = _total(partials, rows)
            if length is None:
                raise errors.InvalidFieldsError(
                    {"Upload-Length": "Send the size of the whole song in bytes."}
                )
            if length > most:
                raise errors.RequestTooLargeError(f"The file is larger than the limit of {most} bytes.")
            received = length if partials else 0
            row = await transaction.one(
                "create_upload", **new, id=new_job_id(), length=length, received=received, kept=self._kept
            )
        return ResumableUpload.from_row(row)

    async def get(self, tenant: str, upload: UUID) -> ResumableUpload:
        """Return an upload."""
        row = await self._database.first("get_upload", id=upload, tenant=tenant)
        if row is None:
            raise _unknown(upload)
        return ResumableUpload.from_row(row)

    @asynccontextmanager
    async def locked(self, tenant: str, upload: UUID) -> AsyncIterator[ResumableUpload]:
        """Hold the lock on an upload, which keeps it from expiring, and yield the upload.

        Raises:
            UploadLockedError: if another request holds it, and goes on holding it.
        """
        locked = await self._lock(tenant, upload)
        keeping = asyncio.create_task(self._keep(locked))
        try:
            yield locked
        finally:
            keeping.cancel()
            with contextlib.suppress(errors.DatabaseUnavailableError):
                await self._database.do("unlock_upload", id=locked.id, fence=locked.fence)

    async def _lock(self, tenant: str, upload: UUID) -> ResumableUpload:
        for _ in range(_LOCK_TRIES):
            row = await self._database.first("lock_upload", id=upload, tenant=tenant, lease=_LEASE)
            if row:
                return ResumableUpload.from_row(row)
            await self.get(tenant, upload)
            await asyncio.sleep(_LOCK_PAUSE)
        raise errors.UploadLockedError("Another request is adding to this upload. Wait until it has ended.")

    async def _keep(self, upload: ResumableUpload) -> None:
        while True:
            await asyncio.sleep(_LEASE / 3)
            with contextlib.suppress(errors.DatabaseUnavailableError):
                await self._database.do(
                    "keep_upload", id=upload.id, fence=upload.fence, lease=_LEASE, kept=self._kept
                )

    async def add(self, upload: ResumableUpload, path: Path, size: int, stored: Bound) -> ResumableUpload:
        """Store a file as the next part of an upload whose lock is held, and return the longer upload.

        Args:
            upload: the upload, as it is.
            path: path of the file.
            size: size of the file in bytes.
            stored: how many bytes may be stored.

        Raises:
            RequestTooLargeError: if the upload has too many parts.
            ShareError: if the tenant stores as much as it may.
            StorageError: if the part cannot be stored.
            UploadLockedError: if the lock was lost.
        """
        if upload.parts >= MOST_PARTS:
            raise errors.RequestTooLargeError(
                f"The upload has {MOST_PARTS} parts already. Delete it, and send the song in larger parts."
            )
        await self._objects.check(upload.tenant, stored)
        key = f"{upload.prefix}/{upload.received:015}-{upload.fence}"
        await self._objects.note(upload.tenant, upload.prefix, {key: size}, self._kept)
        await self._objects.storage.put_file(path, key, max_bytes=size)
        row = await self._database.first(
            "add_part", id=upload.id, fence=upload.fence, key=key, size=size, kept=self._kept
        )
        if row is None:
            await self._objects.storage.delete(key)
            raise errors.UploadLockedError("Another request has changed this upload. Ask for its offset.")
        return ResumableUpload.from_row(row)

    async def read(self, upload: ResumableUpload) -> AsyncIterator[bytes]:
        """Yield the bytes of an upload that is complete.

        Raises:
            StorageError: if they cannot be read.
        """
        rows = await self._database.rows("list_parts", uploads=upload.partials or [upload.id])
        left = upload.length
        for row in rows:
            async for block in await self._objects.storage.get(row["key"]):
                left -= len(block)
                yield block
        if left:  # it was erased meanwhile, or one of those that it consists of
            raise _unknown(upload.id)

    async def erase(self, tenant: str, upload: UUID) -> None:
        """Erase an upload, with those that it consists of.

        Raises:
            UploadLockedError: if a request holds its lock, and goes on holding it.
            StorageError: if its objects cannot be erased yet; ``sweep`` does it later.
        """
        async with self.locked(tenant, upload) as locked:
            for part in (*locked.partials, upload):
                await self._erase(part)

    async def _erase(self, upload: UUID) -> None:
        await self._database.do("delete_upload", id=upload)
        await self._objects.erase(f"{UPLOADS_PREFIX}/{upload}")
        await self._database.do("forget_upload", id=upload)

    async def sweep(self, audit: AuditLog) -> int:
        """Erase the uploads that have expired or were deleted, and return their number.

        Raises:
            AuditUnwritableError: if it cannot be recorded that an upload has expired; it stays then.
            StorageError: if objects cannot be erased.
        """
        erased = 0
        while True:
            rows = await self._database.rows("list_expired_uploads", limit=_BATCH)
            for row in rows:
                await self._expire(row, audit)
                await self._erase(row["id"])
            erased += len(rows)
            if len(rows) < _BATCH:
                return erased

    async def _expire(self, row: Row, audit: AuditLog) -> None:
        async with self._database.transaction() as transaction:
            if await transaction.first("delete_upload", id=row["id"]):
                details = {"upload": str(row["id"]), "bytes": row["received"]}
                await audit.record(AuditEvent(Action.UPLOAD_EXPIRED, tenant=row["tenant"], details=details))


def _total(partials: Sequence[UUID], rows: Sequence[Row]) -> int:
    lengths = {row["id"]: row["length"] for row in rows if row["received"] == row["length"]}
    for partial in partials:
        if partial not in lengths:
            reason = f"{partial} is not a partial upload that is complete. Complete it first."
            raise errors.InvalidFieldsError({"Upload-Concat": reason})
    return sum(lengths[partial] for partial in partials)


def _unknown(upload: UUID) -> errors.UnknownUploadError:
    return errors.UnknownUploadError(
        f"Upload {upload} does not exist. It may have been used or deleted, or have expired."
    )
