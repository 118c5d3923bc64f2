"""API keys authenticate their tenants for their scopes until they expire or are revoked."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.access import key_format
from spleeter_microservice.access.keys import ApiKeys, parse_configured
from spleeter_microservice.access.principal import Principal, Scope, parse_scopes
from spleeter_microservice.errors import ConfigurationError, InvalidKeyError
from tests.support.memory_access import MemoryKeyStore

pytestmark = pytest.mark.asyncio

CONFIGURED = "correct-horse-battery"
OTHER = "staple/+=0123456789"
LENGTH = len("sms_") + 43 + 6


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


MESSAGES = {
    "This is not an API key.",
    "No such API key.",
    "This API key is mistyped or was cut off: its checksum is wrong. Copy it again.",
    "This API key was revoked. Ask the operator for another.",
    "This API key has expired. Ask the operator for another.",
}


async def refusal(keys: ApiKeys, text: str) -> str:
    with pytest.raises(InvalidKeyError) as caught:
        await keys.verify(text)
    assert str(caught.value) in MESSAGES  # so that nothing of the text is repeated
    return caught.value.reason


async def test_a_created_key_authenticates_its_tenant_and_scopes() -> None:
    keys = ApiKeys(MemoryKeyStore())
    text, record = await keys.create("band", frozenset({Scope.READ}), name="desk")
    assert await keys.verify(text) == Principal("band", frozenset({Scope.READ}), record.key_id)


async def test_the_key_itself_is_stored_nowhere() -> None:
    keys = ApiKeys(MemoryKeyStore(), parse_configured(CONFIGURED))
    text, record = await keys.create()
    assert text not in repr(record)
    assert text.removeprefix("sms_") not in repr(await keys.store.list())
    assert CONFIGURED not in repr(vars(keys))


async def test_no_two_keys_are_the_same() -> None:
    texts = {key_format.generate() for _ in range(1000)}
    assert len(texts) == 1000
    assert {len(text) for text in texts} == {LENGTH}


async def test_a_key_cannot_be_used_after_it_was_revoked() -> None:
    keys = ApiKeys(MemoryKeyStore())
    text, record = await keys.create()
    await keys.verify(text)
    await keys.revoke(record.key_id)
    assert await refusal(keys, text) == "revoked"


async def test_a_key_cannot_be_used_once_its_time_is_over() -> None:
    clock = Clock()
    keys = ApiKeys(MemoryKeyStore(), now=clock)
    text, _ = await keys.create(lifetime=timedelta(hours=1))
    clock.time += timedelta(minutes=59)
    await keys.verify(text)
    clock.time += timedelta(minutes=1)
    assert await refusal(keys, text) == "expired"


async def test_the_last_use_is_recorded_but_not_at_every_request() -> None:
    clock, store = Clock(), MemoryKeyStore()
    keys = ApiKeys(store, now=clock)
    text, record = await keys.create()
    uses = []
    for seconds in (0, 30, 31, 60):
        clock.time = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        await keys.verify(text)
        (found,) = await keys.store.list(record.tenant)
        assert found.last_used_at is not None
        uses.append(found.last_used_at.minute * 60 + found.last_used_at.second)
    assert uses == [0, 0, 0, 60]


@given(position=st.integers(0, LENGTH - 1), character=st.characters(codec="ascii"))
async def test_a_wrong_character_is_distinguished_from_an_unknown_key(position: int, character: str) -> None:
    text = key_format.generate()
    wrong = text[:position] + character + text[position + 1 :]
    expected = "mistyped" if position >= len(key_format.PREFIX) else "unknown"
    if wrong != text:
        assert await refusal(ApiKeys(MemoryKeyStore()), wrong) == expected


@given(position=st.integers(0, LENGTH - 2))
async def test_two_swapped_characters_fail_the_checksum(position: int) -> None:
    text = key_format.generate()
    pair = text[position : position + 2]
    swapped = text[:position] + pair[::-1] + text[position + 2 :]
    assert swapped == text or not key_format.is_generated(swapped)


@given(st.text())
async def test_no_other_text_is_accepted(text: str) -> None:
    keys = ApiKeys(MemoryKeyStore(), parse_configured(CONFIGURED))
    assert await refusal(keys, text) in ("unknown", "malformed", "mistyped")


async def test_a_generated_key_that_was_never_created_is_unknown() -> None:
    assert await refusal(ApiKeys(MemoryKeyStore()), key_format.generate()) == "unknown"


async def test_an_empty_and_an_overlong_text_are_malformed() -> None:
    keys = ApiKeys(MemoryKeyStore())
    assert await refusal(keys, "") == "malformed"
    assert await refusal(keys, "k" * 10_000) == "malformed"


async def test_every_configured_key_belongs_to_the_default_tenant() -> None:
    keys = ApiKeys(MemoryKeyStore(), parse_configured(f"{CONFIGURED}, {OTHER}"))
    everything = frozenset(Scope)
    assert await keys.verify(CONFIGURED) == Principal("default", everything, "configured-1")
    assert await keys.verify(OTHER) == Principal("default", everything, "configured-2")
    assert await refusal(keys, CONFIGURED[:-1]) == "unknown"
    assert await refusal(keys, f"{CONFIGURED}, {OTHER}") == "unknown"


async def test_all_configured_keys_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    keys = ApiKeys(MemoryKeyStore(), parse_configured(f"{CONFIGURED},{OTHER}"))
    monkeypatch.setattr(hmac, "compare_digest", compare)
    await keys.verify(CONFIGURED)
    assert len(compared) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has 0 characters"),
        ("short", "has 5 characters instead of 8 to 512"),
        (f"{CONFIGURED},", "Key 2 has 0 characters"),
        (f"{CONFIGURED},x", "Key 2 has 1 characters"),
        ("a key with some spaces", "spaces"),
        ("schlüsselschlüssel", "ASCII"),
        ("x" * 10 + "abcdefgh" * 70, "has 570 characters"),
    ],
)
async def test_unsafe_configured_keys_are_refused_without_showing_them(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        parse_configured(text)
    assert text == "" or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "weakness"),
    [
        ("supersecret", "has only 11 characters"),
        ("Tr0ub4dor&3", "has only 11 characters"),
        ("aaaaaaaaaaaaaaaaaaaa", "has only 1 different characters"),
        ("supersecret123456", "consists of well-known words"),
        ("my-secret-api-key-12345", "consists of well-known words"),
        ("change-me-in-production", "consists of well-known words"),
        ("Please_Replace_This_Token", "consists of well-known words"),
        ("your-super-secret-key-here", "consists of well-known words"),
        ("passwordpasswordpassword", "consists of well-known words"),
        (CONFIGURED, None),
        (OTHER, None),
        ("Zm9vYmFyLXNlY3JldC1rZXkh", None),
        (key_format.generate, None),
    ],
)
async def test_a_guessable_configured_key_is_accepted_with_a_warning(
    text: str | Callable[[], str], weakness: str | None
) -> None:
    key = text if isinstance(text, str) else text()
    warnings = ApiKeys(MemoryKeyStore(), parse_configured(f"{CONFIGURED},{key}")).warnings
    assert key not in " ".join(warnings)
    assert [f"Key 2 in SPLEETER_API_KEY {weakness}" in line for line in warnings] == [True] * bool(weakness)


async def test_a_configured_key_may_resemble_a_generated_one() -> None:
    text = key_format.generate()[:-1] + "!"
    assert len(parse_configured(text)) == 1


async def test_a_generated_key_may_be_configured_but_not_a_mistyped_one() -> None:
    text = key_format.generate()
    parse_configured(text)
    wrong = text[:-1] + ("a" if text[-1] != "a" else "b")
    with pytest.raises(ConfigurationError, match="mistyped"):
        parse_configured(wrong)


@pytest.mark.parametrize("tenant", ["", "a/b", "../up", ".hidden", "a b", "sub:someone", "x" * 129, "bänd"])
async def test_a_tenant_with_an_unsafe_name_is_refused(tenant: str) -> None:
    with pytest.raises(ConfigurationError, match="Invalid tenant"):
        await ApiKeys(MemoryKeyStore()).create(tenant)


async def test_a_key_without_a_scope_or_a_lifetime_is_not_created() -> None:
    keys = ApiKeys(MemoryKeyStore())
    with pytest.raises(ConfigurationError, match="scope"):
        await keys.create(scopes=frozenset())
    with pytest.raises(ConfigurationError, match="lifetime"):
        await keys.create(lifetime=timedelta(0))
    with pytest.raises(ConfigurationError, match="printable"):
        await keys.create(name="line\nbreak")


async def test_scopes_are_read_by_name_and_unknown_ones_refused() -> None:
    assert parse_scopes(["read", "separate"]) == {Scope.READ, Scope.SEPARATE}
    for wrong in ([], ["read", "admin"]):
        with pytest.raises(ConfigurationError, match="read, separate"):
            parse_scopes(wrong)
