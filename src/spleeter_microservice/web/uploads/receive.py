"""The parts of resumable uploads, stored as they arrive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.requests import ClientDisconnect

from spleeter_microservice.access.shares import Share
from spleeter_microservice.errors import ChecksumMismatchError, RequestError, RequestTooLargeError
from spleeter_microservice.jobs.uploads import ResumableUpload
from spleeter_microservice.web.services import Services
from spleeter_microservice.web.submit.spool import SpooledFile, spooled

STORED_AT_ONCE = 8 << 20
"""Bytes of a body that are stored at a time; a killed process loses less."""


async def receive(
    request: Request, services: Services, upload: ResumableUpload, checksum: tuple[str, bytes] | None
) -> ResumableUpload:
    """Add the body of a request to an upload whose lock is held, and return the longer upload.

    What arrived before an error stays, unless there is a checksum: the whole body is then checked first.

    Raises:
        ChecksumMismatchError: if the body does not have the checksum; nothing of it is kept.
        RequestError: if the body is larger than what is missing, or too slow.
        ClientDisconnect: if the client disconnects.
        StorageError: if a part cannot be stored; the parts before it stay.
    """
    body, ended = request.stream(), False
    while not ended:
        async with spooled(services.config.spool, services.config.max_file_bytes) as file:
            interruption: BaseException | None = None
            try:
                ended = await _spool(body, file, upload.length - upload.received, checksum)
            except (ClientDisconnect, RequestError, asyncio.CancelledError) as error:
                if checksum is not None:
                    raise
                interruption = error
            if file.size:
                await file.finish()
                stored = services.shares.bounds[Share.STORED_BYTES]
                upload = await services.uploads.add(upload, file.path, file.size, stored)
            if interruption is not None:
                raise interruption
    return upload


async def _spool(
    body: AsyncIterator[bytes], file: SpooledFile, most: int, checksum: tuple[str, bytes] | None
) -> bool:
    """Write the next part of a body to a file; return whether the body has ended."""
    algorithm, expected = checksum or ("", b"")
    digest = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
    async for chunk in body:
        if file.size + len(chunk) > most:
            raise RequestTooLargeError(f"The part is longer than the {most} bytes that the upload lacks.")
        if digest:
            digest.update(chunk)
        await file.write(chunk)
        if not digest and file.size >= STORED_AT_ONCE:
            return False
    if digest and digest.digest() != expected:
        raise ChecksumMismatchError(f"The part does not have this {algorithm} checksum. Send it again.")
    return True
