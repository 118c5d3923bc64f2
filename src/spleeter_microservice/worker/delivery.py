"""Delivery of stems to the destinations that callers name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from spleeter_microservice.errors import BucketError, OutgoingError, UnreachableError
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.storage.streams import file_blocks

logger = logging.getLogger(__name__)

# Bounds, since a slot waits: a destination that is slower than this gets nothing.
_SECONDS = 60.0
_BYTES_PER_SECOND = 1e6
_PAUSES = (1.0, 2.0, 4.0)  # seconds between attempts at a file


class Deliverer:
    """A writer of stems to destinations.

    Args:
        buckets: buckets that callers may name.
        outgoing: client for pre-signed addresses; None if the operator has disabled them.
    """

    def __init__(self, buckets: Buckets, outgoing: Outgoing | None) -> None:
        self._buckets = buckets
        self._outgoing = outgoing

    async def deliver(self, job: Job, files: Mapping[str, Path]) -> str | None:
        """Write files, by their names, to the destination of a job.

        Returns:
            None, or why not all of them were written, for the caller.
        """
        size = sum(path.stat().st_size for path in files.values())
        limit = asyncio.timeout(_SECONDS + size / _BYTES_PER_SECOND)
        name = ""
        try:
            async with limit:
                for name, path in files.items():
                    await self._write_patiently(job, name, path)
        except OutgoingError as error:
            reason = f"{name} was not delivered: {error}"
        except TimeoutError:
            if not limit.expired():
                raise
            reason = f"{name} was not delivered: the destination is too slow, or does not answer."
        else:
            return None
        logger.warning("stems not delivered", extra={"job_id": str(job.id), "reason": reason})
        return reason

    async def _write_patiently(self, job: Job, name: str, path: Path) -> None:
        for pause in (*_PAUSES, None):
            try:
                await self._write(job, name, path)
            except (BucketError, UnreachableError) as error:
                if pause is None or not _is_temporary(error):
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _write(self, job: Job, name: str, path: Path) -> None:
        destination = job.options.destination_url
        media_type = job.options.codec_of(name).media_type
        if isinstance(destination, str):
            folder = self._buckets.find(job.tenant, destination)
            await folder.put_file(path, path.name, {"Content-Type": media_type})
        elif destination and (url := destination.get(name)):
            if self._outgoing is None:
                raise UnreachableError(
                    "The operator has disabled pre-signed addresses.", httpx.codes.FORBIDDEN
                )
            size = path.stat().st_size
            headers = {"Content-Length": str(size)} | _signed_headers(url, media_type)
            total = _SECONDS + size / _BYTES_PER_SECOND
            await self._outgoing.put(url, file_blocks(path), headers, total=total)


def _is_temporary(error: BucketError | UnreachableError) -> bool:
    if isinstance(error, BucketError):
        return error.temporary
    return error.status is None or error.status in (408, 429) or error.status >= 500


def _signed_headers(url: str, media_type: str) -> dict[str, str]:
    """Return the headers that a pre-signed address needs; others would make some servers refuse it."""
    query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    signed = query.get("x-amz-signedheaders", query.get("x-goog-signedheaders", "")).split(";")
    content_type = query.get("content-type", media_type if "content-type" in signed else None)
    headers = {"Content-Type": content_type} if content_type else {}
    return headers | ({"x-ms-blob-type": "BlockBlob"} if {"sv", "sig"} <= query.keys() else {})
