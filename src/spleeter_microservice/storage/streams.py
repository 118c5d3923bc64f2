"""Streams of bytes to the object store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import Any

import obstore
from obstore.store import ObjectStore

from spleeter_microservice.errors import ObjectTooLargeError, StorageError
from spleeter_microservice.storage.failures import unanswered

_FILE_BLOCK_BYTES = 1 << 20
_ABORTING_SECONDS = 5.0
_PARTS_AT_ONCE = 2
_PART_BYTES = 5 << 20  # the smallest part that S3 accepts


class MeasuredStream:
    """A stream that counts and hashes its chunks and can be interrupted.

    Attributes:
        error: error that the stream raised, or the reason for its interruption.
    """

    def __init__(self, chunks: AsyncIterable[bytes], max_bytes: int) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self.crc32 = 0
        self.error: Exception | None = None
        self._chunks = aiter(chunks)
        self._max_bytes = max_bytes
        self._next: asyncio.Future[bytes | None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (chunk := await self._next_chunk()) is not None:
                self.size += len(chunk)
                self._check_size()
                self.digest.update(chunk)
                self.crc32 = zlib.crc32(chunk, self.crc32)
                yield chunk
        except Exception as error:
            self.error = error
            raise

    def interrupt(self) -> None:
        """Make the stream raise instead of yielding another chunk."""
        self.error = StorageError("The upload was cancelled.")
        if self._next is not None:
            self._next.cancel()

    async def _next_chunk(self) -> bytes | None:
        if self.error is not None:
            raise self.error
        self._next = asyncio.ensure_future(_next(self._chunks))
        try:
            return await self._next
        except asyncio.CancelledError:
            if self.error is not None:
                raise self.error from None
            raise

    def _check_size(self) -> None:
        if self.size > self._max_bytes:
            raise ObjectTooLargeError(f"The object is larger than {self._max_bytes} bytes.")


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def single_chunk(data: bytes) -> AsyncIterator[bytes]:
    """Yield bytes that are in memory."""
    yield data


async def file_blocks(path: Path) -> AsyncIterator[bytes]:
    """Read a file in blocks, in another thread.

    Raises:
        OSError: if it cannot be read, or is not a regular file.
    """
    position = 0
    while block := await asyncio.to_thread(_read_block, path, position):
        yield block
        position += len(block)


def _read_block(path: Path, position: int) -> bytes:
    # Opened for each block, since a consumer that stops early would leave it open, as when a store fails. A
    # link or pipe put in the file's place is neither followed nor waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a regular file")
        return os.pread(descriptor, _FILE_BLOCK_BYTES, position)
    finally:
        os.close(descriptor)


async def send(
    store: ObjectStore, path: str, source: MeasuredStream, attributes: Any, patience: float
) -> obstore.PutResult:
    """Write a stream to a store; if cancelled, wait until the store has discarded the parts.

    Args:
        store: store to write to.
        path: path of the object.
        source: its bytes.
        attributes: HTTP headers that are kept with it, if any.
        patience: seconds for which the store may take nothing.

    Raises:
        TimeoutError: if it takes nothing for longer.
    """
    sending = asyncio.ensure_future(_send(store, path, source, attributes))
    taken, since = -1, 0.0
    try:
        while not sending.done():
            if taken != source.size:
                taken, since = source.size, time.monotonic()
            elif time.monotonic() - since > patience:
                sending.cancel()
                raise TimeoutError(unanswered(patience))
            await asyncio.wait({sending}, timeout=patience / 10)
        return sending.result()
    except asyncio.CancelledError:
        source.interrupt()
        await asyncio.wait({sending}, timeout=_ABORTING_SECONDS)
        if not sending.cancel():
            sending.exception()  # retrieve it, or asyncio would report it
        raise


async def _send(store: ObjectStore, path: str, source: MeasuredStream, attributes: Any) -> obstore.PutResult:
    """Send a stream that fits into one part in one request, and a longer one in parts."""
    stream = aiter(source)
    beginning = bytearray()
    async for chunk in stream:
        beginning += chunk
        if len(beginning) > _PART_BYTES:
            break
    else:
        return await obstore.put_async(
            store, path, bytes(beginning), attributes=attributes, use_multipart=False
        )

    async def everything() -> AsyncIterator[bytes]:
        yield bytes(beginning)
        beginning.clear()
        async for chunk in stream:
            yield chunk

    return await obstore.put_async(
        store,
        path,
        everything(),
        attributes=attributes,
        chunk_size=_PART_BYTES,
        max_concurrency=_PARTS_AT_ONCE,
    )
