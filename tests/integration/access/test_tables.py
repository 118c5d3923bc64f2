"""API keys and rates in a real database keep the contracts of their stores."""

import asyncio

import pytest

from spleeter_microservice.access.key_table import KeyTable
from spleeter_microservice.access.principal import Scope
from spleeter_microservice.access.rate_limit import Rate, RateLimiter, prune_rates
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import RateLimitError
from tests.contract.access.key_store import KeyStoreContract, record
from tests.contract.access.rate_limiter import RATE, Clock, RateLimiterContract, taken
from tests.support.waiting import eventually


class TestKeyTable(KeyStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> KeyTable:
        return KeyTable(database)


class TestRateTable(RateLimiterContract):
    @pytest.fixture
    def limiter(self, database: Database, clock: Clock) -> RateLimiter:
        return RateLimiter(database, RATE, "requests", clock)

    async def test_kinds_are_counted_separately(
        self, limiter: RateLimiter, database: Database, clock: Clock
    ) -> None:
        await taken(limiter)
        assert await taken(RateLimiter(database, RATE, "attempts", clock)) == RATE.limit

    async def test_concurrent_requests_do_not_exceed_the_limit(
        self, limiter: RateLimiter, database: Database, clock: Clock
    ) -> None:
        other = RateLimiter(database, RATE, "requests", clock)
        tries = [each.take("band") for each in (limiter, other) for _ in range(10)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        refused = [result for result in results if isinstance(result, RateLimitError)]
        assert len(results) - len(refused) == RATE.limit
        assert all(error.retry_after >= 1 for error in refused)

    async def test_portions_add_up_to_the_limit_in_all_processes_together(
        self, database: Database, clock: Clock
    ) -> None:
        one, other = (RateLimiter(database, Rate(300), "requests", clock) for _ in range(2))
        remaining = [(await one.take("band")).remaining for _ in range(100)]
        assert remaining == [*range(299, 199, -1)]
        left = await taken(other, attempts=1000)
        assert 300 - 100 - 3 <= left <= 200  # a portion is three
        assert left + 100 + await taken(one, attempts=1000) == 300

    async def test_requests_at_the_same_moment_use_their_portions_up(
        self, database: Database, clock: Clock
    ) -> None:
        limiter = RateLimiter(database, Rate(300), "requests", clock)
        found = await asyncio.gather(*(limiter.take("band") for _ in range(301)), return_exceptions=True)
        assert [type(one) for one in found if isinstance(one, Exception)] == [RateLimitError]

    async def test_names_with_a_full_allowance_are_forgotten(self, database: Database) -> None:
        short, long = (RateLimiter(database, Rate(1, period), "requests") for period in (0.001, 60))
        await short.take("band")
        await long.take("choir")
        assert await eventually(lambda: prune_rates(database)) == 1
        assert await taken(long, "choir") == 0


@pytest.mark.asyncio
async def test_a_scope_that_no_longer_exists_is_ignored_in_an_old_key(database: Database) -> None:
    store, old = KeyTable(database), record()
    await database.do("add_key", **vars(old) | {"scopes": ["admin", "read"]})
    found = await store.find(old.digest)
    assert found is not None
    assert found.scopes == {Scope.READ}
