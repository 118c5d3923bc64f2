"""The object store: a folder, a bucket or memory, behind one small interface.

Objects appear whole or not at all, and pass through in blocks: memory does not depend on their
size. Keys are paths without a leading slash, ``separations/ID/vocals.wav``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, PreconditionError

from spleeter_microservice.errors import (
    ObjectChangedError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
)
from spleeter_microservice.files import replace_atomically
from spleeter_microservice.storage.backends import Place, open_place
from spleeter_microservice.storage.objects import StoredObject, WrittenObject, checked_key
from spleeter_microservice.storage.streams import MeasuredStream, file_blocks

BLOCK_BYTES = 4 << 20
"""Largest block that a stream yields, unless it was asked for others."""
_PART_BYTES = 5 << 20  # the least that S3 takes as a part
_PARTS_AT_ONCE = 2
_ABORTING_SECONDS = 5.0

_STAGED = re.compile(r".+#\d+")  # what LocalStore writes before it gives the file its name


class ObjectStream:
    """The bytes of an object, or a range of them, in blocks; each is fetched when it is asked for.

    Attributes:
        info: of the whole object.
        start: position of the first byte.
        stop: position after the last byte.

    Raises (while iterating):
        ObjectChangedError: when the object was replaced meanwhile.
        ObjectNotFoundError: when it was deleted meanwhile.
        StorageUnavailableError: when the store is away.
    """

    def __init__(self, storage: Storage, info: StoredObject, start: int, stop: int, block_bytes: int) -> None:
        self.info, self.start, self.stop = info, start, stop
        self._storage = storage
        self._block_bytes = block_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for position in range(self.start, self.stop, self._block_bytes):
            end = min(position + self._block_bytes, self.stop)
            yield await self._storage.read_block(self.info, position, end)


class Storage:
    """An object store; ``open_storage`` makes one from a URL.

    Attributes:
        name: for messages and logs; holds no secret.
    """

    def __init__(self, place: Place) -> None:
        self.name = place.name
        self._store = place.store
        self._folder = place.folder

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, max_bytes: int) -> WrittenObject:
        """Write an object from a stream; it is visible once it is complete, and replaces what was there.

        What ``chunks`` raises passes through, and then nothing is written; nor when cancelled.

        Raises:
            InvalidObjectKeyError: when the key is not one.
            ObjectTooLargeError: as soon as more than ``max_bytes`` have come.
            StorageUnavailableError: when the store is away, full or refuses.
        """
        path = checked_key(key)
        source = MeasuredStream(chunks, max_bytes)
        try:
            with self._reporting(key):
                self._check_folder()
                result = await self._whole_put(path, source)
        except StorageError as error:
            if source.error is not None:
                raise source.error from None
            if isinstance(error, ObjectNotFoundError):  # the bucket is what was not found
                raise StorageUnavailableError(str(error)) from error
            raise
        digest, etag = source.digest.hexdigest(), _quoted(result["e_tag"])
        return WrittenObject(key, source.size, digest, etag, source.crc32)

    async def _whole_put(self, path: str, source: MeasuredStream) -> obstore.PutResult:
        """Send everything; when cancelled, wait until the store was told to forget what it has."""
        sending = asyncio.ensure_future(self._put(path, source))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            source.interrupt()
            await asyncio.wait({sending}, timeout=_ABORTING_SECONDS)
            if not sending.cancel():
                sending.exception()  # is retrieved, else asyncio would report it
            raise

    async def _put(self, path: str, source: MeasuredStream) -> obstore.PutResult:
        """Send what fits into one part as one request, and everything else in parts."""
        stream = aiter(source)
        beginning = bytearray()
        async for chunk in stream:
            beginning += chunk
            if len(beginning) > _PART_BYTES:
                break
        else:
            return await obstore.put_async(self._store, path, bytes(beginning), use_multipart=False)

        async def everything() -> AsyncIterator[bytes]:
            yield bytes(beginning)
            beginning.clear()
            async for chunk in stream:
                yield chunk

        return await obstore.put_async(
            self._store, path, everything(), chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )

    async def put_file(self, path: Path, key: str, *, max_bytes: int) -> WrittenObject:
        """Write an object from a local file.

        Raises:
            OSError: when the file cannot be read, or is a link or anything but a file.
            StorageError: as ``put``.
        """
        return await self.put(key, file_blocks(path), max_bytes=max_bytes)

    async def head(self, key: str) -> StoredObject:
        """Tell what is known of an object.

        Raises:
            ObjectNotFoundError: when there is none.
            InvalidObjectKeyError, StorageUnavailableError: as ``put``.
        """
        path = checked_key(key)
        with self._reporting(key):
            return _described(await obstore.head_async(self._store, path))

    async def get(
        self, key: str, start: int = 0, stop: int | None = None, *, block_bytes: int = BLOCK_BYTES
    ) -> ObjectStream:
        """Open an object, or the bytes from ``start`` up to, but not with, ``stop``.

        A range is cut to what there is; beyond the end there is nothing. Smaller blocks are
        slower to fetch, and less to hold for a reader that is slow itself.

        Raises:
            ObjectNotFoundError: when there is none.
            InvalidObjectKeyError, StorageUnavailableError: as ``put``.
        """
        info = await self.head(key)
        stop = info.size if stop is None else min(stop, info.size)
        return ObjectStream(self, info, max(start, 0), stop, block_bytes)

    async def read_block(self, info: StoredObject, start: int, stop: int) -> bytes:
        """Read a range, which must lie within the object; a replaced object is not read."""
        options: obstore.GetOptions = {"range": (start, stop), "if_match": info.etag}
        with self._reporting(info.key):
            result = await obstore.get_async(self._store, info.key, options=options)
            return bytes(await result.bytes_async())

    async def get_file(self, key: str, path: Path) -> StoredObject:
        """Write an object to a local file, which appears when it is complete.

        Raises:
            OSError: when the file cannot be written.
            StorageError: as ``get``.
        """
        stream = await self.get(key)
        # Opened in this thread: a cancelled call in another one would leave it open.
        with replace_atomically(path) as partial, partial.open("wb") as file:
            async for block in stream:
                await asyncio.to_thread(file.write, block)
        return stream.info

    async def delete(self, key: str) -> None:
        """Delete an object; none there is no error."""
        path = checked_key(key)
        with self._reporting(key), contextlib.suppress(FileNotFoundError):
            self._check_folder()
            await obstore.delete_async(self._store, path)

    async def delete_prefix(self, prefix: str) -> None:
        """Delete every object below a prefix, ``separations/ID``, and what crashes left of them."""
        checked_key(prefix)
        with self._reporting(prefix):
            self._check_folder()
            if self._folder is not None:
                await asyncio.to_thread(_remove_tree, self._folder / prefix)
                return
            async for batch in obstore.list(self._store, prefix):
                await obstore.delete_async(self._store, [found["path"] for found in batch])

    async def list(self, prefix: str | None = None) -> AsyncIterator[StoredObject]:
        """Give the objects below a prefix, in no order."""
        if prefix is not None:
            checked_key(prefix)
        with self._reporting(prefix or ""):
            self._check_folder()
            async for batch in obstore.list(self._store, prefix):
                for found in batch:
                    yield _described(found)

    async def remove_unfinished(self, before: datetime) -> int:
        """Remove what killed writers left in a local folder, if unchanged since ``before``.

        A bucket has its own rule for uploads that were never completed; see docs/operations.md.

        Returns:
            how many files were removed.
        """
        if self._folder is None:
            return 0
        with self._reporting(""):
            return await asyncio.to_thread(_remove_staged, self._folder, before.timestamp())

    async def check(self) -> None:
        """Find out whether the store answers.

        Raises:
            StorageUnavailableError: when it does not.
        """
        with self._reporting(""):
            self._check_folder()
            async for _ in obstore.list(self._store, "readiness", chunk_size=1):
                break

    def _check_folder(self) -> None:
        # LocalStore would make it anew: below the place of a volume that is not mounted.
        if self._folder is not None and not self._folder.is_dir():
            raise StorageUnavailableError(f"The folder {self._folder} of the object store is not there.")

    @contextlib.contextmanager
    def _reporting(self, key: str) -> Iterator[None]:
        """Report the store's errors as what they mean to a caller."""
        try:
            yield
        except FileNotFoundError as error:
            self._check_folder()
            raise ObjectNotFoundError(f"There is no object {key} in {self.name}.") from error
        except PreconditionError as error:
            raise ObjectChangedError(f"The object {key} was replaced while it was read.") from error
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0][:300]
            raise StorageUnavailableError(
                f"The object store {self.name} cannot be used now: {reason}"
            ) from error


def open_storage(url: str, options: Mapping[str, Any] | None = None) -> Storage:
    """Open an object store; a folder is made if it is not there.

    Args:
        url: a folder's path, ``file:///…``, ``s3://bucket/prefix``, ``gs://…``, ``az://…``, or
            ``memory:``. Credentials come from the environment, as each cloud's tools read it
            (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …).
        options: of the cloud's store in ``obstore``, in place of the environment's.

    Raises:
        ConfigurationError: when there is no such kind of store, or an option is wrong.
        StorageUnavailableError: when the folder cannot be made.
    """
    return Storage(open_place(url, options))


def _described(meta: obstore.ObjectMeta) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], _quoted(meta["e_tag"]), meta["last_modified"])


def _quoted(etag: str | None) -> str:
    text = (etag or "").strip('"')
    return f'"{text}"'


def _remove_tree(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _remove_staged(folder: Path, before: float) -> int:
    staged = [path for path in folder.rglob("*#*") if _STAGED.fullmatch(path.name)]
    old = [path for path in staged if path.is_file() and path.stat().st_mtime < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
