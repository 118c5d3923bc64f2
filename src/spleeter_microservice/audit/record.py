"""A record of the audit log: who did what to which job, with what result, after which record."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Self

Outcome = Literal["succeeded", "refused", "failed"]
Detail = str | int | float | bool | None

MAXIMUM_DETAILS = 20
MAXIMUM_NAME = 64  # characters of a detail's name
MAXIMUM_TEXT = 500  # characters; longer texts are cut
MAXIMUM_LINE = 256 << 10  # bytes; no record is as long


class Action(StrEnum):
    """Something that was done or attempted, with its meaning."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Return the member for a value and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    SERVICE_STARTED = "service.started", "`serve` started the service on a machine."
    SERVICE_STOPPED = "service.stopped", "`serve` stopped the service on a machine."
    AUTHENTICATION_FAILED = "authentication.failed", "A caller presented no valid key or token."
    ACCESS_DENIED = "access.denied", "A caller was not allowed to do what it asked for."
    KEY_CREATED = "key.created", "An API key was created on the command line."
    KEY_REVOKED = "key.revoked", "An API key was revoked on the command line."
    UPLOAD_REFUSED = (
        "upload.refused",
        "A submission was refused, other than for a bound; the details name the problem.",
    )
    UPLOAD_INFECTED = "upload.infected", "A song was refused because it contains malware."
    UPLOAD_CREATED = "upload.created", "A resumable upload was begun."
    UPLOAD_ERASED = "upload.erased", "A caller had a resumable upload erased."
    UPLOAD_EXPIRED = "upload.expired", "A resumable upload was abandoned; it is erased."
    SOURCE_FETCHED = "source.fetched", "A song was fetched from an address that a caller named."
    JOB_CREATED = "job.created", "A song was accepted."
    JOB_REUSED = "job.reused", "A song was accepted that had been separated before; its stems are reused."
    JOB_FINISHED = "job.finished", "A job succeeded or failed."
    JOB_CANCELLED = "job.cancelled", "A caller cancelled a job."
    JOB_ERASED = "job.erased", "A caller had a job erased with its song and stems."
    JOB_EXPIRED = "job.expired", "A job's retention ended; it is erased with its song and stems."
    RESULT_DOWNLOADED = "result.downloaded", "A caller downloaded stems."
    WEBHOOK_SENT = "webhook.sent", "The service attempted to deliver a webhook."
    AUDIT_UNSEALED = (
        "audit.unsealed",
        "The head of the audit log had no valid seal, or went back: earlier records may have been changed.",
    )


@dataclass(frozen=True)
class AuditEvent:
    """An event to record; it never contains sound or a secret.

    Attributes:
        action: what was done or attempted.
        outcome: result of the action.
        tenant: tenant whose data the action concerns.
        actor: caller (``Principal.key_id``); empty for the service itself.
        job: id of the job that the action concerns.
        client: network address of the caller.
        request: id of the request, which also appears in other logs.
        details: further values; none may have the name of a secret.

    Raises:
        ValueError: if a detail's name suggests a secret or exceeds 64 characters, or if there are more
            than 20 details.
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
            raise ValueError(f"The event has {len(self.details)} details. Pass at most {MAXIMUM_DETAILS}.")
        for name in self.details:
            if len(name) > MAXIMUM_NAME:
                raise ValueError(f"The name {name!r} has {len(name)} characters. Use at most {MAXIMUM_NAME}.")
            if sounds_secret(name):
                raise ValueError(f"{name!r} sounds like a secret. Do not record secrets.")


@dataclass(frozen=True)
class ChainHead:
    """The newest record of a log; knowing it reveals any change to the records up to it."""

    sequence: int
    hash: str


BEGINNING = ChainHead(0, "0" * 64)
"""The head of an empty log."""


def compose(event: AuditEvent, previous: ChainHead, at: datetime) -> dict[str, Any]:
    """Return the record of an event that follows a head."""
    record: dict[str, Any] = {
        "sequence": previous.sequence + 1,
        "time": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "previous": previous.hash,
        "action": str(event.action),
        "outcome": event.outcome,
        **{name: _clean(getattr(event, name)) for name in ("tenant", "actor", "job", "client", "request")},
        "details": {name: _clean(value) for name, value in event.details.items()},
    }
    return {**record, "hash": _digest(record)}


def head_of(record: Mapping[str, Any]) -> ChainHead:
    """Return the head of a log that ends with a record."""
    return ChainHead(record["sequence"], record["hash"])


def read(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line without its newline; None if it is not a record or its hash is wrong."""
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
    """Encode a record in its canonical form, which is hashed: sorted, without spaces, in ASCII."""
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
    """Return whether a field's name suggests that its value is a secret."""
    words = {word.lower() for word in _WORD.findall(name)}
    return name not in _HARMLESS and bool(words & _SECRET_WORDS)


# Patterns of secrets that occur within messages and addresses.
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
