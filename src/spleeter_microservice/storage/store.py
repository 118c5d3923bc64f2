"""The object store: a directory, a bucket or memory behind one small interface.

Objects appear completely or not at all. They pass through in blocks, so that memory does not depend on
their size. Keys are paths without a leading slash, ``separations/ID/vocals.wav``.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import math
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import AzureStore, GCSStore, S3Store

from spleeter_microservice import errors
from spleeter_microservice.files import replace_atomically
from spleeter_microservice.storage.backends import Access, Backend, open_backend
from spleeter_microservice.storage.failures import failure, unanswered
from spleeter_microservice.storage.objects import StoredObject, WrittenObject, checked_key, foreign_key
from spleeter_microservice.storage.streams import MeasuredStream, file_blocks, send, single_chunk

logger = logging.getLogger(__name__)

T = TypeVar("T")
SignedMethod = Literal["GET", "HEAD"]
"""Method of a request to a signed address."""

BLOCK_BYTES = 4 << 20
"""Default size of the blocks that a stream yields."""
_CHECK_SECONDS = 10.0  # between writes to a bucket that check whether it can be written
_THREADS = 4  # a file system that hangs may block all of them, but none of the other threads

_MARKER = "readiness"
"""Key of an object that is written to check that objects can be written and read."""
_STAGED = re.compile(r".+#\d+")  # temporary name of a file that LocalStore is writing
# Before Python 3.13, a thread of the client that is about to finish a request aborts a process that ends.
atexit.register(time.sleep, 0.05)


class ObjectStream:
    """The bytes of an object, or a range of them, in blocks that are fetched on demand.

    Attributes:
        info: metadata of the whole object.
        start: position of the first byte.
        stop: position after the last byte.

    Raises (while iterating):
        ObjectChangedError: if the object has been replaced since.
        ObjectNotFoundError: if it has been deleted since.
        StorageUnavailableError: if the store is unavailable.
    """

    def __init__(self, storage: Storage, info: StoredObject, start: int, stop: int, block_bytes: int) -> None:
        self.info, self.start, self.stop = info, start, stop
        self._storage = storage
        self._block_bytes = block_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for position in range(self.start, self.stop, self._block_bytes):
            end = min(position + self._block_bytes, self.stop)
            yield await self._storage.read_block(self.info, position, end)


@dataclass(frozen=True)
class Deadlines:
    """Seconds that a store may take: to answer a small request, and to take or send a part of an object.

    Requests to a bucket end after a minute by themselves.
    """

    answer: float = 20.0
    transfer: float = 75.0


class Storage:
    """An object store; ``open_storage`` opens one from a URL.

    Attributes:
        name: name for messages and logs; contains no secret.
        folder: directory of the objects, if it is a local one.
        rights: what the credentials of a bucket need for each kind of access.
        deadlines: how long the store may take to answer.

    Args:
        backend: an opened backend.
        foreign: whether others choose the keys, so that the store writes no object on its own.
    """

    def __init__(self, backend: Backend, *, foreign: bool = False) -> None:
        self.deadlines = Deadlines()
        self._threads = ThreadPoolExecutor(_THREADS, "store")
        self._written = -math.inf
        self.name = backend.name
        self._store = backend.store
        self.folder = backend.folder
        self.rights = backend.rights
        self._foreign = foreign
        self._checked = foreign_key if foreign else checked_key

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        max_bytes: int,
        attributes: Mapping[str, str] | None = None,
    ) -> WrittenObject:
        """Write an object from a stream; it appears once complete, and replaces an earlier one.

        Errors of ``chunks`` are passed on. Nothing is written then, nor if the call is cancelled.

        Args:
            key: key of the object.
            chunks: its bytes.
            max_bytes: most bytes that it may have.
            attributes: HTTP headers, such as ``Content-Type``, that a bucket keeps with the object and sends
                to those who fetch it there; a directory has none.

        Raises:
            InvalidObjectKeyError: if the key is invalid.
            ObjectTooLargeError: if the stream exceeds ``max_bytes``.
            StorageFullError: if the store is full.
            StorageUnavailableError: if the store is unavailable, or refuses.
        """
        path = self._checked(key)
        source = MeasuredStream(chunks, max_bytes)
        try:
            async with self._translated_errors(key, "write"):
                await self._check_folder()
                # A directory refuses attributes.
                kept: Any = attributes if self.folder is None else None
                result = await send(self._store, path, source, kept, self.deadlines.transfer)
        except errors.StorageError as error:
            if source.error is not None:
                raise source.error from None
            if isinstance(error, errors.ObjectNotFoundError):  # it is the bucket that was not found
                raise errors.StorageUnavailableError(
                    f"The bucket of {self.name} does not exist. Create it, or correct SPLEETER_STORAGE_URL."
                ) from error
            raise
        digest, etag = source.digest.hexdigest(), _quoted(result["e_tag"])
        return WrittenObject(key, source.size, digest, etag, source.crc32)

    async def put_file(
        self, path: Path, key: str, *, max_bytes: int, attributes: Mapping[str, str] | None = None
    ) -> WrittenObject:
        """Write an object from a local file.

        Raises:
            OSError: if the file cannot be read, or is not a regular file.
            StorageError: as for ``put``.
        """
        return await self.put(key, file_blocks(path), max_bytes=max_bytes, attributes=attributes)

    async def head(self, key: str) -> StoredObject:
        """Return the metadata of an object.

        Raises:
            ObjectNotFoundError: if it does not exist.
            InvalidObjectKeyError, StorageUnavailableError: as for ``put``.
        """
        path = self._checked(key)
        try:
            async with self._translated_errors(key, "read", self.deadlines.answer):
                return _described(await obstore.head_async(self._store, path))
        except errors.StorageRefusedError as error:
            if self._foreign or key == _MARKER:
                raise
            await self.check()  # it may read, so what it may not know is that the object does not exist
            raise errors.ObjectNotFoundError(f"{self.name} has no object {key}.") from error

    async def get(
        self, key: str, start: int = 0, stop: int | None = None, *, block_bytes: int = BLOCK_BYTES
    ) -> ObjectStream:
        """Open an object, or its bytes from ``start`` to before ``stop``.

        A range is clipped to the object. Smaller blocks are slower to fetch, and take less memory for a
        slow reader.

        Raises:
            ObjectNotFoundError: if it does not exist.
            InvalidObjectKeyError, StorageUnavailableError: as for ``put``.
        """
        info = await self.head(key)
        stop = info.size if stop is None else min(stop, info.size)
        return ObjectStream(self, info, max(start, 0), stop, block_bytes)

    async def read_block(self, info: StoredObject, start: int, stop: int) -> bytes:
        """Read a range within the object, unless the object has been replaced."""
        options: obstore.GetOptions = {"range": (start, stop), "if_match": info.etag}
        async with self._translated_errors(info.key, "read", self.deadlines.transfer):
            result = await obstore.get_async(self._store, info.key, options=options)
            return bytes(await result.bytes_async())

    async def get_file(self, key: str, path: Path) -> StoredObject:
        """Copy an object to a local file, which appears once complete.

        Raises:
            OSError: if the file cannot be written.
            StorageError: as for ``get``.
        """
        stream = await self.get(key)
        # Open the file in this thread: a cancelled call in another one would leave it open.
        with replace_atomically(path) as partial, partial.open("wb") as file:
            async for block in stream:
                await asyncio.to_thread(file.write, block)
        return stream.info

    async def delete(self, key: str) -> None:
        """Delete an object if it exists."""
        path = self._checked(key)
        async with self._translated_errors(key, "delete", self.deadlines.answer):
            await self._check_folder()
            with contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._store, path)

    async def delete_prefix(self, prefix: str, known: Iterable[str] = ()) -> None:
        """Delete every object below a prefix, ``separations/ID``, with the remains of crashes.

        Args:
            prefix: prefix of the objects.
            known: keys of objects to delete even if the store refuses to list any.
        """
        checked_key(prefix)
        if self.folder is not None:
            async with self._translated_errors(prefix, "delete", self.deadlines.transfer):
                await self._check_folder()
                await self._in_thread(_remove_tree, self.folder / prefix)
            return
        keys = set(known)
        with contextlib.suppress(errors.StorageRefusedError):
            keys |= {found.key async for found in self.list(prefix)}
        await asyncio.gather(*map(self.delete, keys))

    async def sign(self, keys: Sequence[str], lifetime: timedelta, method: SignedMethod) -> list[str] | None:
        """Return addresses at which anyone may fetch objects until the lifetime ends.

        Returns:
            None if this store cannot sign, such as a directory, or lacks the credentials to do so.
        """
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        if isinstance(self._store, AzureStore):
            method = "GET"  # it allows HEAD, too; for HEAD alone, the client signs no right at all
        try:
            async with asyncio.timeout(self.deadlines.answer):
                return [*await obstore.sign_async(self._store, method, keys, lifetime)]
        except (BaseError, OSError) as error:
            logger.warning("the object store cannot sign addresses: %s", str(error).partition("\n")[0])
            return None

    async def list(self, prefix: str | None = None) -> AsyncIterator[StoredObject]:
        """Yield the objects below a prefix, in no particular order."""
        if prefix is not None:
            checked_key(prefix)
        batches = aiter(obstore.list(self._store, prefix))
        batch: Sequence[obstore.ObjectMeta] | None = ()
        while batch is not None:
            for found in batch:
                yield _described(found)
            async with self._translated_errors(prefix or "", "list", self.deadlines.answer):
                await self._check_folder()
                # A list dropped before its answer panics the client's threads, which then refuse requests.
                answer = asyncio.ensure_future(anext(batches, None))
                answer.add_done_callback(lambda done: done.cancelled() or done.exception())
                await asyncio.wait({answer})
                batch = answer.result()

    async def remove_unfinished(self, before: datetime) -> int:
        """Remove files that killed writers left in a local directory, if unchanged since ``before``.

        A bucket needs a rule of its own for incomplete uploads; see docs/operations.md.

        Returns:
            the number of files removed.
        """
        if self.folder is None:
            return 0
        async with self._translated_errors("", "delete", self.deadlines.transfer):
            return await self._in_thread(_remove_staged, self.folder, before.timestamp())

    async def check(self) -> None:
        """Check that the store responds and lets objects be written and read.

        In a bucket, it reads an object of its own, which it also writes from time to time. A missing one
        would prove nothing: S3 and GCS refuse to say that it is, unless the credentials may list.

        Raises:
            StorageUnavailableError: if it does not.
        """
        if self.folder is not None:
            async with self._translated_errors("", "write", self.deadlines.answer):
                await self._check_folder()
                await self._in_thread(_write_nothing, self.folder)
            return
        if time.monotonic() - self._written > _CHECK_SECONDS:
            await self.put(_MARKER, single_chunk(b"ready"), max_bytes=5)
            self._written = time.monotonic()
        await self.head(_MARKER)

    async def _check_folder(self) -> None:
        # LocalStore would create it again, below the mount point of a volume that is not mounted.
        if self.folder is None:
            return
        try:
            async with asyncio.timeout(self.deadlines.answer):
                exists = await self._in_thread(Path.is_dir, self.folder)
        except TimeoutError as error:
            raise failure(error, self.name, "read", None, unanswered(self.deadlines.answer)) from error
        if not exists:
            raise errors.StorageUnavailableError(
                f"The directory {self.folder} of the object store does not exist."
            )

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a function in one of the store's own threads, since a file system that hangs blocks them."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    @contextlib.asynccontextmanager
    async def _translated_errors(
        self, key: str, access: Access, seconds: float | None = None
    ) -> AsyncIterator[None]:
        """Translate errors of the store, and of one that does not answer in time."""
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                yield
        except FileNotFoundError as error:
            await self._check_folder()
            raise errors.ObjectNotFoundError(f"{self.name} has no object {key}.") from error
        except PreconditionError as error:
            raise errors.ObjectChangedError(f"The object {key} was replaced while it was read.") from error
        except (BaseError, OSError) as error:
            late = unanswered(seconds) if limit.expired() else None
            raise failure(error, self.name, access, self.rights.get(access), late) from error


def open_storage(url: str, options: Mapping[str, Any] | None = None) -> Storage:
    """Open an object store as ``open_backend`` does.

    Credentials come from the environment, as for each cloud's own tools (``AWS_ACCESS_KEY_ID``,
    ``AWS_ENDPOINT_URL``, …).
    """
    return Storage(open_backend(url, options))


def _described(meta: obstore.ObjectMeta) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], _quoted(meta["e_tag"]), meta["last_modified"])


def _quoted(etag: str | None) -> str:
    text = (etag or "").strip('"')
    return f'"{text}"'


def _write_nothing(folder: Path) -> None:
    """Create a file without a name, or raise ``OSError`` if none can be created."""
    tempfile.TemporaryFile(dir=folder).close()


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
