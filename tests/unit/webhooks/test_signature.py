"""Webhooks are signed as the Standard Webhooks specification says, and tried again in time."""

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.errors import ConfigurationError, WebhookSignatureError
from spleeter_microservice.webhooks import signature

SECRET = signature.generate_secret()
NOW = 1_900_000_000
BODY = b'{"state": "succeeded"}'


def signed(body: bytes = BODY, timestamp: int = NOW, *secrets: str) -> dict[str, str]:
    return signature.headers(secrets or (SECRET,), "msg_1", timestamp, body)


def test_the_signature_is_that_of_the_specification_s_own_libraries() -> None:
    # The example that the reference implementations test themselves with.
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signature.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(body=st.binary(), timestamp=st.integers(0, 2**35))
def test_what_was_signed_verifies(body: bytes, timestamp: int) -> None:
    assert signature.verify(SECRET, signed(body, timestamp), body, timestamp) == "msg_1"


@given(body=st.binary(), other=st.binary())
def test_another_body_does_not_verify(body: bytes, other: bytes) -> None:
    if body != other:
        with pytest.raises(WebhookSignatureError, match="signature"):
            signature.verify(SECRET, signed(body), other, NOW)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()))
def test_no_made_up_headers_verify(made_up: dict[str, str]) -> None:
    with pytest.raises(WebhookSignatureError):
        signature.verify(SECRET, made_up, BODY, NOW)
    if made_up:
        with pytest.raises(WebhookSignatureError):
            signature.verify(SECRET, signed() | made_up, BODY, NOW)


def test_an_old_webhook_and_one_from_the_future_are_refused() -> None:
    signature.verify(SECRET, signed(), BODY, NOW + 300)
    for now in (NOW + 301, NOW - 301):
        with pytest.raises(WebhookSignatureError, match="timestamp"):
            signature.verify(SECRET, signed(), BODY, now)


def test_while_a_secret_is_replaced_both_verify() -> None:
    new = signature.generate_secret()
    both = signed(BODY, NOW, new, SECRET)
    for secret in (new, SECRET):
        signature.verify(secret, both, BODY, NOW)
    with pytest.raises(WebhookSignatureError):
        signature.verify(signature.generate_secret(), both, BODY, NOW)


def test_an_id_with_a_full_stop_is_not_signed_as_it_would_shift_the_parts() -> None:
    with pytest.raises(ValueError, match="full stop"):
        signature.sign(SECRET, "msg.1", NOW, BODY)
    with pytest.raises(WebhookSignatureError, match="lacks its id"):
        signature.verify(SECRET, signed() | {"webhook-id": "msg.1"}, BODY, NOW)


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
def test_a_weak_or_foreign_secret_is_refused(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="whsec_"):
        signature.sign(secret, "msg_1", NOW, BODY)


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(ConfigurationError, match="always signed"):
        signature.headers([], "msg_1", NOW, BODY)


def test_ids_and_secrets_are_new_each_time() -> None:
    assert len({signature.generate_id() for _ in range(100)}) == 100
    assert len({signature.generate_secret() for _ in range(100)}) == 100


@given(attempts=st.integers(1, 20), chance=st.floats(0, 1), retry_after=st.none() | st.floats(-10, 1e9))
def test_waits_are_bounded_and_respect_what_the_receiver_asks_for(
    attempts: int, chance: float, retry_after: float | None
) -> None:
    wait = signature.delay(attempts, chance=chance, retry_after=retry_after)
    if attempts > len(signature.DELAYS):
        assert wait is None
        return
    assert wait is not None
    assert signature.DELAYS[attempts - 1] * 0.8 <= wait <= timedelta(hours=12)
    assert retry_after is None or wait >= timedelta(seconds=min(retry_after, 43_200))


def test_all_attempts_together_fit_in_the_day_that_results_are_kept() -> None:
    waits = [signature.delay(attempts, chance=1) for attempts in range(1, 20)]
    assert sum((wait for wait in waits if wait), timedelta()) < timedelta(days=1)
    assert waits[: len(signature.DELAYS)] == sorted(wait for wait in waits if wait)
