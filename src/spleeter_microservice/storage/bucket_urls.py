"""URLs of objects in buckets, and the buckets that the operator lets callers name.

A URL is written as in each cloud's own tools, so nothing in its path is escaped: ``s3://songs/My song.mp3``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from spleeter_microservice.errors import ForbiddenAddressError

_URL = re.compile(r"(?P<place>(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:/(?P<key>.*))?", re.ASCII)
_GRANT = re.compile(r"(?:(?P<tenant>[^=/]+)=)?(?P<url>[^=/]+://.+)")
_TENANT = "{tenant}"
_LONGEST_KEY = 900  # bytes of UTF-8; S3 allows 1024, including the names of stems


def is_bucket_url(text: str) -> bool:
    """Return whether a text names a bucket, or an object in one."""
    return text.startswith(("s3://", "gs://", "az://"))


def split_bucket_url(url: str) -> tuple[str, str]:
    """Split the URL of an object or a folder in a bucket.

    Returns:
        the bucket, such as ``s3://songs``, and the key without a slash at its end; empty for the bucket.

    Raises:
        ForbiddenAddressError: if it is malformed, or would lead elsewhere, as ``..`` does.
    """
    match = _URL.fullmatch(url)
    key = (match["key"] or "").removesuffix("/") if match else ""
    odd = not key.isprintable() or len(key.encode(errors="replace")) > _LONGEST_KEY
    if match is None or odd or (key and not {"", ".", ".."}.isdisjoint(key.split("/"))):
        raise ForbiddenAddressError(
            "The URL of the bucket is malformed. Write it as in s3://bucket/folder/song.mp3, with gs:// or "
            "az:// for other clouds, and without escapes."
        )
    return match["place"], key


@dataclass(frozen=True)
class BucketGrant:
    """A bucket, or a folder of one, that callers may name.

    Attributes:
        url: its URL without a slash at the end; ``{tenant}`` in it stands for the caller's tenant.
        tenant: the only tenant that may name it; None for every tenant.
    """

    url: str
    tenant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``s3://bucket``, ``gs://bucket/folder/{tenant}`` or ``tenant=az://container``.

        Raises:
            ValueError: if the text is none of these.
        """
        match = _GRANT.fullmatch(text)
        try:
            place, key = split_bucket_url(match["url"] if match else "")
        except ForbiddenAddressError:
            raise ValueError(
                "Write buckets as in s3://bucket,gs://bucket/folder, with {tenant} in the folder for one of "
                "each tenant, or a tenant's name and an equals sign before a bucket for that tenant alone."
            ) from None
        return cls(f"{place}/{key}".removesuffix("/"), match and match["tenant"])

    def admits(self, tenant: str, place: str, key: str) -> bool:
        """Return whether a tenant may name an object or a folder."""
        return self.tenant in (None, tenant) and f"{place}/{key}/".startswith(f"{self.url_for(tenant)}/")

    def url_for(self, tenant: str) -> str:
        """Return the URL for a tenant."""
        return self.url.replace(_TENANT, tenant)

    def overlaps(self, store: str) -> bool:
        """Return whether it may hold objects of the store at a URL, or that store some of its objects."""
        scheme, _, path = store.partition("://")
        cloud = {"s3": "s3", "s3a": "s3", "gs": "gs"}.get(scheme, "az")
        container, _, folder = path.partition("/")
        other = f"{cloud}://{container.partition('@')[0]}/{folder}".rstrip("/") + "/"
        own = self.url.partition(_TENANT)[0].rstrip("/") + "/"
        return own.startswith(other) or other.startswith(own)
