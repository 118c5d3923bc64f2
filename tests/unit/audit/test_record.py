"""Audit records have one canonical form and hold no secrets."""

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.access import key_format
from spleeter_microservice.audit import record as record_module
from spleeter_microservice.audit.record import (
    BEGINNING,
    MAXIMUM_LINE,
    Action,
    AuditEvent,
    Detail,
    canonical,
    compose,
    read,
    sounds_secret,
)
from tests.support.issuer import encoded
from tests.support.webhooks import SECRET

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECRET_NAMES = """
key api_key apiKey X-API-KEY APIKey secret clientSecret password token access_token refreshToken
Authorization cookie credentials signature auth
"""
details = st.dictionaries(
    st.text(max_size=64).filter(lambda name: not sounds_secret(name)),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    max_size=5,
)


def line(event: AuditEvent) -> bytes:
    return canonical(compose(event, BEGINNING, NOW))


@pytest.mark.parametrize("action", [pytest.param(action, id=action.value) for action in Action])
def test_every_action_is_recorded_somewhere(action: Action) -> None:
    package = Path(record_module.__file__).parents[1]
    uses = re.compile(rf"\bAction\.{action.name}\b")
    assert any(uses.search(path.read_text(encoding="utf-8")) for path in package.rglob("*.py"))


def test_a_record_of_an_action_that_no_longer_exists_can_be_read() -> None:
    old = line(AuditEvent(Action.JOB_CREATED)).replace(b"job.created", b"job.deleted")
    record = {name: value for name, value in json.loads(old).items() if name != "hash"}
    digest = hashlib.sha256(canonical(record)).hexdigest()
    assert read(canonical({**record, "hash": digest})) is not None


@given(details=details, job=st.text(), actor=st.text())
def test_every_event_is_one_line_that_reads_back(details: dict[str, Detail], job: str, actor: str) -> None:
    composed = line(AuditEvent(Action.JOB_CREATED, job=job, actor=actor, details=details))
    assert b"\n" not in composed
    assert composed.isascii()
    record = read(composed)
    assert record is not None
    assert (record["sequence"], record["previous"], record["action"]) == (1, "0" * 64, "job.created")


@given(details=details, data=st.data())
def test_a_change_of_any_byte_is_detected(details: dict[str, Detail], data: st.DataObject) -> None:
    composed = line(AuditEvent(Action.JOB_ERASED, details=details))
    position = data.draw(st.integers(0, len(composed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != composed[position]))
    assert read(composed[:position] + bytes([byte]) + composed[position + 1 :]) is None


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_a_line_that_is_not_a_record_is_rejected(garbage: bytes) -> None:
    assert read(garbage) is None


def test_another_spelling_of_the_same_record_is_rejected() -> None:
    composed = line(AuditEvent(Action.JOB_ERASED))
    assert read(composed) is not None
    assert read(composed.replace(b",", b", ")) is None
    assert read(composed + b" ") is None
    assert read(composed[:-1] + b',"job":""}') is None
    assert read(json.dumps({"hash": 1}).encode()) is None
    assert read(b"[" * 100_000) is None


@pytest.mark.parametrize(
    "name",
    SECRET_NAMES.split(),
)
def test_a_detail_with_the_name_of_a_secret_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="sounds like a secret"):
        AuditEvent(Action.KEY_CREATED, details={name: "x"})


@pytest.mark.parametrize("name", ["key_id", "scopes", "bytes", "monkey", "author", "stem", "reason", "virus"])
def test_other_details_are_accepted(name: str) -> None:
    AuditEvent(Action.KEY_CREATED, details={name: "x"})


@pytest.mark.parametrize(
    "secret",
    [
        key_format.generate(),
        SECRET,
        f"{encoded({'alg': 'RS256'})}.{encoded({'sub': 'someone'})}.{encoded(b's' * 256)}",
        f"{encoded({'alg': 'none'})}.{encoded({'sub': 'someone'})}.",
    ],
    ids=["key", "webhook secret", "token", "unsigned token"],
)
def test_secrets_are_removed_from_texts_wherever_they_occur(secret: str) -> None:
    for text in (
        secret,
        f"refused {secret}!",
        f"Authorization: Bearer {secret}",
        f"https://x.example/?k={secret}",
    ):
        composed = line(AuditEvent(Action.AUTHENTICATION_FAILED, actor=text, job=text, details={"why": text}))
        assert secret.encode() not in composed
        assert secret.encode()[4:] not in composed


def test_passwords_and_queries_are_removed_from_addresses() -> None:
    address = "https://user:pass@store.example/song.mp3?X-Amz-Signature=abc"
    record = read(line(AuditEvent(Action.SOURCE_FETCHED, details={"address": address})))
    assert record is not None
    assert record["details"]["address"] == "https://[removed]@store.example/song.mp3?[removed]"


def test_a_record_has_a_bounded_length() -> None:
    event = AuditEvent(
        Action.JOB_CREATED,
        *("succeeded", "\U0001d11e" * 10_000, "\x00" * 10_000, "\U0001d11e" * 10_000),
        details={f"{number:02}" + "\U0001d11e" * 62: "\U0001d11e" * 10_000 for number in range(20)},
    )
    assert len(line(event)) < MAXIMUM_LINE
    with pytest.raises(ValueError, match="at most 20"):
        AuditEvent(Action.JOB_CREATED, details=dict.fromkeys(map(str, range(21))))
    with pytest.raises(ValueError, match="at most 64"):
        AuditEvent(Action.JOB_CREATED, details={"x" * 65: 1})
