"""Buckets that callers name: opened when they are needed, and only if the operator listed them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from spleeter_microservice import errors
from spleeter_microservice.storage.backends import Access, open_backend
from spleeter_microservice.storage.bucket_urls import BucketGrant, split_bucket_url
from spleeter_microservice.storage.store import Storage
from spleeter_microservice.storage.streams import file_blocks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BucketObject:
    """An object or a folder in a bucket that a caller named.

    Attributes:
        storage: the bucket.
        key: key of the object, or path of the folder; empty for the whole bucket.
    """

    storage: Storage
    key: str

    @property
    def name(self) -> str:
        """File name of the object."""
        return PurePosixPath(self.key).name

    async def chunks(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Yield the object's bytes.

        Raises:
            ResponseTooLargeError: if it has more than ``max_bytes``.
            BucketError: if it does not exist or cannot be read.
        """
        try:
            stream = await self.storage.get(self.key)
            if stream.info.size > max_bytes:
                raise errors.ResponseTooLargeError(
                    f"The file is larger than the limit of {max_bytes} bytes. Use a smaller one."
                )
            async for block in stream:
                yield block
        except errors.StorageError as error:
            raise self._explained(error, "read") from error

    async def put_file(self, path: Path, name: str, attributes: Mapping[str, str]) -> None:
        """Write a file under a name in the folder.

        Raises:
            BucketError: if it cannot be written.
        """
        key = f"{self.key}/{name}" if self.key else name
        try:
            await self.storage.put(
                key, file_blocks(path), max_bytes=path.stat().st_size, attributes=attributes
            )
        except errors.StorageError as error:
            raise self._explained(error, "write") from error

    def _explained(self, error: errors.StorageError, access: Access) -> errors.BucketError:
        """Return an error for callers, who must not see addresses of the operator's network."""
        bucket = self.storage.name
        logger.info("bucket: %s", error)
        if isinstance(error, errors.ObjectNotFoundError):
            return errors.BucketError(f"{bucket} has no object {self.key}. Check the bucket and the key.")
        if isinstance(error, errors.StorageRefusedError):
            return errors.BucketError(
                f"{bucket} refuses to {access} {self.key or 'objects'}. Check that it exists, and that the "
                f"credentials used here have {self.storage.rights[access]}."
            )
        if isinstance(error, errors.StorageFullError):
            return errors.BucketError(f"{bucket} has no space left. Free some, or use another.")
        return errors.BucketError(
            f"{bucket} cannot be reached, or does not exist. Check its name, or try again.", temporary=True
        )


class Buckets:
    """The buckets that the operator lets callers name, opened with the credentials of the environment.

    Args:
        grants: the buckets, and who may name them.

    Raises:
        ConfigurationError: if the environment has no valid configuration for one of them.
    """

    def __init__(self, grants: Iterable[BucketGrant] = ()) -> None:
        self._grants = tuple(grants)
        places = {split_bucket_url(grant.url)[0] for grant in self._grants}
        self._opened = {place: open_bucket(place) for place in places}

    def of(self, tenant: str) -> list[str]:
        """Return the buckets and folders that a tenant may name."""
        return [grant.url_for(tenant) for grant in self._grants if grant.tenant in (None, tenant)]

    def find(self, tenant: str, url: str) -> BucketObject:
        """Return an object or a folder that a tenant names; whether it exists is not checked.

        Raises:
            ForbiddenAddressError: if the URL is malformed, or the tenant may not name it.
        """
        place, key = split_bucket_url(url)
        if not any(grant.admits(tenant, place, key) for grant in self._grants):
            raise errors.ForbiddenAddressError(
                f"{url} is not in a bucket that you may use here. Use another, or ask the operator to list "
                "it in SPLEETER_BUCKETS."
            )
        return BucketObject(self._opened[place], key)


def open_bucket(place: str) -> Storage:
    """Open a bucket that does not belong to the service.

    Raises:
        ConfigurationError: if the environment has no valid configuration for its cloud.
    """
    return Storage(open_backend(place), foreign=True)
