"""Webhooks are signed as the Standard Webhooks specification says, and retried for less than a day."""

import base64
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import WebhookVerificationError

from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.webhooks import signature
from tests.support.webhooks import SECRET, verified_id

NOW = 1_900_000_000
BODY = b'{"state": "succeeded"}'


def test_the_signature_is_that_of_the_specification_s_own_libraries() -> None:
    # The example that the reference implementations test themselves with.
    signed = signature.sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(body=st.text(), message_id=st.from_regex(r"msg_[0-9a-f]{1,32}", fullmatch=True))
def test_a_signed_webhook_verifies_with_the_specification_s_library(body: str, message_id: str) -> None:
    headers = signature.headers([SECRET], message_id, int(time.time()), body.encode())
    assert verified_id(headers, body.encode()) == message_id


def test_another_body_another_id_or_another_time_does_not_verify() -> None:
    now = int(time.time())
    headers = signature.headers([SECRET], "msg_1", now, BODY)
    for changed, body in (
        (headers, BODY + b" "),
        (headers | {"webhook-id": "msg_2"}, BODY),
        (headers | {"webhook-timestamp": str(now - 1)}, BODY),
    ):
        with pytest.raises(WebhookVerificationError):
            verified_id(changed, body)


def test_both_secrets_verify_while_one_replaces_the_other() -> None:
    new, foreign = ("whsec_" + base64.b64encode(byte * 32).decode() for byte in (b"n", b"f"))
    headers = signature.headers([new, SECRET], "msg_1", int(time.time()), BODY)
    for secret in (new, SECRET):
        verified_id(headers, BODY, secret)
    with pytest.raises(WebhookVerificationError):
        verified_id(headers, BODY, foreign)


def test_an_id_with_a_full_stop_is_not_signed_as_it_would_shift_the_fields() -> None:
    with pytest.raises(ValueError, match="full stop"):
        signature.sign(SECRET, "msg.1", NOW, BODY)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "secret",
        "whsec_not base64!",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        base64.b64encode(b"k" * 32).decode(),
    ],
)
def test_a_weak_or_malformed_secret_is_refused(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="whsec_"):
        signature.sign(secret, "msg_1", NOW, BODY)


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(ConfigurationError, match="always signed"):
        signature.headers([], "msg_1", NOW, BODY)


@given(attempts=st.integers(1, 20), chance=st.floats(0, 1), retry_after=st.none() | st.floats(-10, 1e9))
def test_waits_are_bounded_and_respect_retry_after(
    attempts: int, chance: float, retry_after: float | None
) -> None:
    wait = signature.delay(attempts, chance=chance, retry_after=retry_after)
    if attempts > len(signature.DELAYS):
        assert wait is None
        return
    assert wait is not None
    assert signature.DELAYS[attempts - 1] * 0.8 <= wait <= timedelta(hours=12)
    assert retry_after is None or wait >= timedelta(seconds=min(retry_after, 43_200))


def test_all_attempts_end_before_results_are_erased() -> None:
    waits = [signature.delay(attempts, chance=1) for attempts in range(1, 20)]
    assert sum((wait for wait in waits if wait), timedelta()) < timedelta(days=1)
    assert waits[: len(signature.DELAYS)] == sorted(wait for wait in waits if wait)
