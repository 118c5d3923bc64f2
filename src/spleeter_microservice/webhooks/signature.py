"""Signatures and retries of webhooks, as https://www.standardwebhooks.com specifies them."""

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
"""Waits after failed attempts; together less than the day for which results are kept."""

_VERSION = "v1"
_SECRET_BYTES = range(24, 65)  # as specified
_JITTER = 0.2
_MAXIMUM_WAIT = timedelta(hours=12)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature: ``v1,`` and the HMAC-SHA256 of ``{id}.{timestamp}.{body}`` in base64.

    Args:
        secret: ``whsec_`` and the key in base64.
        message_id: id of the message, without a full stop, which separates the signed fields.
        timestamp: time of this attempt, in seconds since 1970.
        body: exactly the bytes that are sent.

    Raises:
        ConfigurationError: if the secret is malformed.
        ValueError: if the id has a full stop.
    """
    if "." in message_id:
        raise ValueError(f"the webhook id {message_id!r} has a full stop")
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = hmac.digest(_key(secret), content, hashlib.sha256)
    return f"{_VERSION},{base64.b64encode(signature).decode('ascii')}"


def parse_secrets(text: str) -> tuple[str, ...]:
    """Parse ``SPLEETER_WEBHOOK_SECRET``: one secret, or several separated by commas.

    Raises:
        ConfigurationError: if a secret is malformed; the message shows none.
    """
    secrets = tuple(part.strip() for part in text.split(",") if part.strip())
    for secret in secrets:
        _key(secret)
    return secrets


def headers(secrets_: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of an attempt, signed with every secret: one may be replacing another.

    Raises:
        ConfigurationError: if no secret is given, or one is malformed.
    """
    if not secrets_:
        raise ConfigurationError("Webhooks are always signed: set a secret that begins with whsec_.")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets_),
    }


def delay(attempts: int, *, chance: float = 0.5, retry_after: float | None = None) -> timedelta | None:
    """Return the wait before the next attempt, or ``None`` after the last one.

    Args:
        attempts: number of failed attempts so far, at least 1.
        chance: random number between 0 and 1; spreads the waits by a fifth each way, so that deliveries that
            failed together are not retried together.
        retry_after: seconds that the receiver asked for; they never shorten the wait, and lengthen it to half
            a day at most.
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
