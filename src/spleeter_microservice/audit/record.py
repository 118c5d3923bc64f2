"""One record of the audit log: who did what to which job, with what result, after which record."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

Outcome = Literal["succeeded", "refused", "failed"]
Detail = str | int | float | bool | None

MAXIMUM_DETAILS = 20
MAXIMUM_NAME = 64  # characters of a detail's name
MAXIMUM_TEXT = 500  # characters; longer ones are cut
MAXIMUM_LINE = 256 << 10  # bytes, more than any record has


class Action(StrEnum):
    """What was done, or tried."""

    SERVICE_STARTED = "service.started"
    SERVICE_STOPPED = "service.stopped"
    AUTHENTICATION_FAILED = "authentication.failed"
    ACCESS_DENIED = "access.denied"
    RATE_LIMITED = "rate.limited"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    UPLOAD_REFUSED = "upload.refused"
    UPLOAD_INFECTED = "upload.infected"
    SOURCE_FETCHED = "source.fetched"
    JOB_CREATED = "job.created"
    JOB_REUSED = "job.reused"
    JOB_STARTED = "job.started"
    JOB_FINISHED = "job.finished"
    JOB_CANCELLED = "job.cancelled"
    JOB_ERASED = "job.erased"
    JOB_EXPIRED = "job.expired"
    RESULT_DOWNLOADED = "result.downloaded"
    WEBHOOK_SENT = "webhook.sent"
    AUDIT_RECOVERED = "audit.recovered"


@dataclass(frozen=True)
class AuditEvent:
    """What is to be recorded; never sound, never a secret.

    Attributes:
        action: what was done, or tried.
        outcome: how it went.
        tenant: whose things it was done to.
        actor: who did it: ``Principal.key_id``, or empty for the service itself.
        job: the separation that it was done to.
        client: network address of the caller.
        request: id of the request, which other logs have too.
        details: more, under names that do not sound like those of secrets.

    Raises:
        ValueError: for a detail whose name does sound like that, for a longer name than 64
            characters, and for more than 20 details.
    """

    action: Action
    outcome: Outcome = "succeeded"
    tenant: str = ""
    actor: str = ""
    job: str = ""
    client: str = ""
    request: str = ""
    details: Mapping[str, Detail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.details) > MAXIMUM_DETAILS:
            raise ValueError(f"an audit event has at most {MAXIMUM_DETAILS} details")
        for name in self.details:
            if len(name) > MAXIMUM_NAME:
                raise ValueError(f"a detail's name has at most {MAXIMUM_NAME} characters")
            if sounds_secret(name):
                raise ValueError(f"{name!r} sounds like a secret, which must not be recorded")


@dataclass(frozen=True)
class ChainHead:
    """The newest record of a log; whoever knows it can tell whether the log was changed up to it."""

    sequence: int
    hash: str


BEGINNING = ChainHead(0, "0" * 64)
"""What the first record follows."""


def compose(event: AuditEvent, previous: ChainHead, at: datetime) -> tuple[bytes, ChainHead]:
    """Give the line that records an event after another, and the log's head with it."""
    record: dict[str, Any] = {
        "sequence": previous.sequence + 1,
        "time": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "previous": previous.hash,
        "action": str(event.action),
        "outcome": event.outcome,
        **{name: _clean(getattr(event, name)) for name in ("tenant", "actor", "job", "client", "request")},
        "details": {name: _clean(value) for name, value in event.details.items()},
    }
    digest = _digest(record)
    return canonical({**record, "hash": digest}) + b"\n", ChainHead(previous.sequence + 1, digest)


def read(line: bytes) -> dict[str, Any] | None:
    """Give the record that a line without its end holds, if it is one and its hash is right."""
    try:
        record = json.loads(line)
        digest = record.pop("hash")
        same = canonical({**record, "hash": digest}) == line and digest == _digest(record)
        sequence, previous = record["sequence"], record["previous"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not same or type(sequence) is not int or not isinstance(previous, str):
        return None
    return {**record, "hash": digest}


def canonical(record: Mapping[str, Any]) -> bytes:
    """Write a record in the one form that is hashed: sorted, without spaces, in ASCII."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(record)).hexdigest()


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = {
    *("apikey", "auth", "authorization", "bearer", "cookie", "cookies", "credential", "credentials"),
    *("hmac", "jwt", "key", "keys", "passphrase", "passwd", "password", "private", "pwd", "secret"),
    *("secrets", "session", "signature", "token", "tokens"),
}
_HARMLESS = {"key_id", "token_id"}


def sounds_secret(name: str) -> bool:
    """Tell whether a field's name sounds like that of a secret."""
    words = {word.lower() for word in _WORD.findall(name)}
    return name not in _HARMLESS and bool(words & _SECRET_WORDS)


# What secrets look like, for those that come in a message or an address.
_SECRETS = (
    (re.compile(r"sms_[0-9A-Za-z]{8,}"), "[removed]"),
    (re.compile(r"whsec_[0-9A-Za-z+/=]{8,}"), "[removed]"),
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "[removed]"),
    (re.compile(r"(?i)\b(bearer|basic) +[\w+/=.~-]{8,}"), r"\1 [removed]"),
    (re.compile(r"(\w://)[^/\s@]+@"), r"\1[removed]@"),
    (re.compile(r"(\w://[^\s?#]*)\?\S+"), r"\1?[removed]"),
)


def _clean(value: Detail) -> Detail:
    if not isinstance(value, str):
        return value
    for pattern, replacement in _SECRETS:
        value = pattern.sub(replacement, value)
    return value if len(value) <= MAXIMUM_TEXT else value[: MAXIMUM_TEXT - 1] + "…"
