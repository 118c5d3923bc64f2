"""What every store of API keys must do: a class of tests to derive from.

An implementation's test derives from ``KeyStoreContract`` and provides a fixture ``store``.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from spleeter_microservice.access.key_table import KeyTable
from spleeter_microservice.access.keys import KeyRecord
from spleeter_microservice.access.principal import Scope
from spleeter_microservice.errors import UnknownKeyError

NOON = datetime(2030, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def record(number: int = 1, tenant: str = "band", **fields: datetime) -> KeyRecord:
    return KeyRecord(
        key_id=f"key_{number:018x}",
        digest=f"{number:064x}",
        tenant=tenant,
        scopes=frozenset({Scope.READ, Scope.SEPARATE}),
        name="the mixing desk",
        created_at=NOON + timedelta(seconds=number),
        **fields,
    )


@pytest.mark.asyncio
class KeyStoreContract:
    """Tests of every ``KeyTable``; ``store`` is empty at the beginning of each test."""

    async def test_a_record_is_returned_as_it_was_added(self, store: KeyTable) -> None:
        kept = record(expires_at=NOON + timedelta(days=1))
        await store.add(kept)
        assert await store.find(kept.digest) == kept

    async def test_an_unknown_digest_finds_nothing(self, store: KeyTable) -> None:
        await store.add(record())
        assert await store.find(f"{2:064x}") is None
        assert await store.find("") is None

    async def test_records_are_listed_by_age_and_by_tenant(self, store: KeyTable) -> None:
        for number, tenant in ((3, "band"), (1, "choir"), (2, "band")):
            await store.add(record(number, tenant))
        assert [kept.key_id[-1] for kept in await store.list()] == ["1", "2", "3"]
        assert [kept.key_id[-1] for kept in await store.list("band")] == ["2", "3"]
        assert await store.list("duo") == []

    async def test_a_revoked_key_is_still_found_with_its_time_of_revocation(self, store: KeyTable) -> None:
        kept = record()
        await store.add(kept)
        revoked = await store.revoke(kept.key_id, NOON)
        assert revoked.revoked_at == NOON
        assert await store.find(kept.digest) == revoked
        assert await store.list("band") == [revoked]

    async def test_the_first_revocation_counts(self, store: KeyTable) -> None:
        await store.add(record())
        await store.revoke(record().key_id, NOON)
        assert (await store.revoke(record().key_id, NOON + timedelta(hours=1))).revoked_at == NOON

    async def test_an_unknown_key_cannot_be_revoked(self, store: KeyTable) -> None:
        with pytest.raises(UnknownKeyError, match="keys list"):
            await store.revoke("key_0", NOON)

    async def test_revoking_one_key_leaves_the_others(self, store: KeyTable) -> None:
        await store.add(record(1))
        await store.add(record(2))
        await store.revoke(record(1).key_id, NOON)
        assert await store.find(record(2).digest) == record(2)

    async def test_the_last_use_never_moves_back(self, store: KeyTable) -> None:
        await store.add(record())
        for minutes in (0, 10, 5):
            await store.touch(record().key_id, NOON + timedelta(minutes=minutes))
        found = await store.find(record().digest)
        assert found is not None
        assert found.last_used_at == NOON + timedelta(minutes=10)

    async def test_using_an_unknown_key_does_nothing(self, store: KeyTable) -> None:
        await store.touch("key_0", NOON)
        assert await store.list() == []

    async def test_concurrent_uses_and_a_revocation_are_all_recorded(self, store: KeyTable) -> None:
        await store.add(record())
        times = [NOON + timedelta(minutes=minutes) for minutes in range(10)]
        await asyncio.gather(
            *(store.touch(record().key_id, time) for time in times), store.revoke(record().key_id, NOON)
        )
        found = await store.find(record().digest)
        assert found is not None
        assert (found.last_used_at, found.revoked_at) == (times[-1], NOON)
