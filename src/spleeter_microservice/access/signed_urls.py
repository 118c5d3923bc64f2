"""Signatures of addresses at which anyone may download one file of one tenant for a while."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from spleeter_microservice.errors import ExpiredUrlError, SignedUrlError


@dataclass(frozen=True)
class SignedUrls:
    """Signing and verification, for which all API processes need the same keys.

    Attributes:
        keys: secrets; the first one signs, and all are accepted. Without one, nothing is signed.
        lifetime: how long an address is valid.
        by_store: whether the object store signs, if it can.
    """

    keys: Sequence[bytes] = ()
    lifetime: timedelta = timedelta(minutes=15)
    by_store: bool = True

    def query(self, tenant: str, job: UUID, name: str) -> str:
        """Return the query of a signed address."""
        expires = int((datetime.now(UTC) + self.lifetime).timestamp())
        signature = _signature(self.keys[0], tenant, job, name, expires)
        return urlencode({"tenant": tenant, "expires": expires, "signature": signature})

    def verify(self, tenant: str, job: UUID, name: str, expires: int, signature: str) -> None:
        """Check what a signed address consists of.

        Raises:
            SignedUrlError: if the signature is wrong.
            ExpiredUrlError: if it is right, but its time has passed.
        """
        given = signature.encode(errors="replace")
        expected = [_signature(key, tenant, job, name, expires).encode() for key in self.keys]
        if not any(hmac.compare_digest(given, right) for right in expected):
            raise SignedUrlError(
                "The signature of this address is wrong. Copy the address completely, or get a new one from "
                "the separation (signed_url)."
            )
        if expires <= datetime.now(UTC).timestamp():
            raise ExpiredUrlError("This address has expired. Get a new one from the separation (signed_url).")


def _signature(key: bytes, tenant: str, job: UUID, name: str, expires: int) -> str:
    text = f"{tenant}\n{job}\n{name}\n{expires}"  # no tenant and no name contains a line break
    digest = hmac.digest(key, text.encode(errors="replace"), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
