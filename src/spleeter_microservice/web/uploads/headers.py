"""The headers of resumable uploads (tus 1.0)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import format_datetime
from typing import cast
from uuid import UUID

from spleeter_microservice.errors import MalformedRequestError
from spleeter_microservice.jobs.uploads import PARTIAL, ResumableUpload

LONGEST_HEADER = 8192
"""Most characters of ``Upload-Metadata`` and of ``Upload-Concat``, which are stored."""
CHECKSUM_ALGORITHMS = ("sha1", "sha256")
READABLE_HEADERS = {
    "Location": "Address of the upload.",
    "Tus-Checksum-Algorithm": "Algorithms for `Upload-Checksum`.",
    "Tus-Extension": "Extensions of the protocol that the service supports.",
    "Tus-Max-Size": "Largest size of a song in bytes.",
    "Tus-Resumable": "Version of the protocol.",
    "Tus-Version": "Versions of the protocol that the service supports.",
    "Upload-Concat": "As it was sent, if it was.",
    "Upload-Expires": "Time at which the upload is erased unless more arrives.",
    "Upload-Length": "Size of the whole song in bytes.",
    "Upload-Metadata": "As it was sent, if it was.",
    "Upload-Offset": "Bytes that are stored.",
}
"""Headers of responses, and what they say."""

_FINAL = "final;"
_NAMES = ("filename", "name")  # under which clients send the name of the file
_KEY = re.compile(r"[!-+\--~]+", re.ASCII)  # without spaces and commas
_UPLOAD = re.compile(
    r"(?:\S*/v1/uploads/)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.ASCII | re.IGNORECASE
)


def file_name(metadata: str) -> str:
    """Return the name of the file in ``Upload-Metadata``, or an empty text.

    Raises:
        MalformedRequestError: if the header is malformed.
    """
    values: dict[str, bytes] = {}
    for pair in metadata.split(",") if metadata.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise _invalid("Upload-Metadata", "Send names of printable ASCII, each once, and their values.")
        values[key] = _decoded("Upload-Metadata", value)
    return next((values[key].decode("utf-8", "replace") for key in _NAMES if key in values), "")


def partial_uploads(concat: str) -> Sequence[UUID]:
    """Return the uploads that ``Upload-Concat`` lists; none for an upload that is not made of others.

    Raises:
        MalformedRequestError: if the header is malformed.
    """
    if concat in ("", PARTIAL):
        return ()
    if concat.startswith(_FINAL) and (addresses := concat.removeprefix(_FINAL).split()):
        found = [upload_id(address) for address in addresses]
        if None not in found:
            return cast(Sequence[UUID], found)
    raise _invalid("Upload-Concat", "Send 'partial', or 'final;' and the addresses of partial uploads.")


def upload_id(address: str) -> UUID | None:
    """Return the id in the address of an upload, or in an id alone; None if there is none."""
    found = _UPLOAD.fullmatch(address)
    return UUID(found[1]) if found else None


def checksum(header: str) -> tuple[str, bytes]:
    """Return the name of the algorithm and the digest in ``Upload-Checksum``.

    Raises:
        MalformedRequestError: if the header is malformed, or the algorithm not one of those supported.
    """
    algorithm, _, value = header.partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise _invalid("Upload-Checksum", f"Use one of: {', '.join(CHECKSUM_ALGORITHMS)}.")
    digest = _decoded("Upload-Checksum", value)
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise _invalid("Upload-Checksum", f"The value is not a {algorithm} digest in Base64.")
    return algorithm, digest


def headers_of(upload: ResumableUpload) -> dict[str, str]:
    """Return the headers that change with every part of an upload."""
    return {
        "Upload-Offset": str(upload.received),
        "Upload-Expires": format_datetime(upload.expires_at.astimezone(UTC), usegmt=True),
    }


def _decoded(header: str, value: str) -> bytes:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except ValueError:
        raise _invalid(header, "A value is not Base64. Encode it as in RFC 4648.") from None


def _invalid(header: str, reason: str) -> MalformedRequestError:
    return MalformedRequestError(f"{header} is malformed. {reason}")
