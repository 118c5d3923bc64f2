"""Webhooks as https://www.standardwebhooks.com specifies them: signed, and sent again when lost."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta

from spleeter_microservice.errors import ConfigurationError, WebhookSignatureError

SECRET_PREFIX = "whsec_"  # noqa: S105  (a prefix, not a secret)
TOLERANCE = timedelta(minutes=5)
"""How far a webhook's timestamp may be from the receiver's clock."""

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


def generate_secret() -> str:
    """Make a secret that sender and receiver share."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def generate_id() -> str:
    """Make the id of a message; all attempts to deliver it carry the same."""
    return f"msg_{secrets.token_hex(16)}"


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


def verify(
    secret: str,
    received: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance: timedelta = TOLERANCE,
) -> str:
    """Check a webhook as its receiver does, and give its id, by which repetitions are noticed.

    Args:
        secret: ``whsec_`` and base64.
        received: the request's headers, their names in lower case.
        body: the request's body, before any parsing.
        now: the receiver's time, in seconds since 1970.
        tolerance: how old, or how far ahead, the message may be.

    Raises:
        WebhookSignatureError: when it is not from who has the secret, or not from now.
        ConfigurationError: when the secret has another form.
    """
    message_id, timestamp = received.get("webhook-id", ""), received.get("webhook-timestamp", "")
    if not message_id or "." in message_id or not (timestamp.isascii() and timestamp.isdecimal()):
        raise WebhookSignatureError("The webhook lacks its id or its timestamp. Refuse it.")
    if len(timestamp) > len("253402300799") or abs(now - int(timestamp)) > tolerance.total_seconds():
        raise WebhookSignatureError(
            "The webhook's timestamp is too far from now. Refuse it, check the clock."
        )
    expected = sign(secret, message_id, int(timestamp), body).encode()
    signatures = received.get("webhook-signature", "").encode("utf-8", "surrogateescape").split(b" ")
    if not any(hmac.compare_digest(expected, signature) for signature in signatures):
        raise WebhookSignatureError(
            "The webhook's signature does not fit its body and the secret. Refuse it."
        )
    return message_id


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
