"""Webhooks as https://www.standardwebhooks.com specifies them: signed, and sent again when lost."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import timedelta

from spleeter_microservice.errors import ConfigurationError

SECRET_PREFIX = "whsec_"  # noqa: S105  (a prefix, not a secret)

DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
)
"""Between a failed attempt and the next; together less than the day that results are kept."""

_VERSION = "v1"
_SECRET_BYTES = range(24, 65)  # what the specification asks for
_JITTER = 0.2
_MAXIMUM_WAIT = timedelta(hours=12)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Give one signature, ``v1,`` and the HMAC-SHA256 of ``{id}.{timestamp}.{body}`` in base64.

    Args:
        secret: ``whsec_`` and base64.
        message_id: without a full stop, which separates the parts.
        timestamp: of this attempt, in seconds since 1970.
        body: exactly the bytes that are sent.

    Raises:
        ConfigurationError: when the secret has another form.
        ValueError: when the id has a full stop.
    """
    if "." in message_id:
        raise ValueError("the id of a webhook has no full stop")
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = hmac.digest(_key(secret), content, hashlib.sha256)
    return f"{_VERSION},{base64.b64encode(signature).decode('ascii')}"


def headers(secrets_: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Give the three headers of an attempt, signed with each secret while one replaces another.

    Raises:
        ConfigurationError: when there is no secret, or one has another form.
    """
    if not secrets_:
        raise ConfigurationError("Webhooks are always signed: give a secret that begins with whsec_.")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets_),
    }


def delay(attempts: int, *, chance: float = 0.5, retry_after: float | None = None) -> timedelta | None:
    """Give the wait before the next attempt, or ``None`` when there is none.

    Args:
        attempts: made so far, all failed; at least 1.
        chance: between 0 and 1, drawn by the caller; spreads the waits by a fifth each way, so
            that deliveries that failed together do not return together.
        retry_after: seconds that the receiver asked for; never shortens the wait, and
            lengthens it to half a day at most.
    """
    if attempts > len(DELAYS):
        return None
    wait = DELAYS[attempts - 1] * (1 + _JITTER * (2 * chance - 1))
    if retry_after is not None:
        wait = max(wait, timedelta(seconds=min(max(retry_after, 0.0), _MAXIMUM_WAIT.total_seconds())))
    return wait


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in _SECRET_BYTES:
        raise ConfigurationError(
            "A webhook secret is whsec_ and the base64 of 24 to 64 random bytes. "
            'Make one: echo "whsec_$(openssl rand -base64 32)"'
        )
    return key
