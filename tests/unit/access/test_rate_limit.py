"""Nobody does more than allowed, nobody is refused who keeps to it, and memory stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.access.rate_limit import MemoryRateLimiter, Rate, RateLimiter, client_name
from spleeter_microservice.errors import ConfigurationError, RateLimitError
from tests.contract.access.rate_limiter import RATE, Clock, RateLimiterContract, taken


class TestMemoryRateLimiter(RateLimiterContract):
    @pytest.fixture
    def limiter(self, clock: Clock) -> RateLimiter:
        return MemoryRateLimiter(RATE, clock)


@pytest.mark.asyncio
@given(
    rate=st.builds(Rate, st.integers(1, 50), st.floats(0.1, 1000)),
    waits=st.lists(st.floats(0, 100), max_size=200),
)
async def test_in_any_time_no_more_pass_than_the_limit_and_what_grew_back(
    rate: Rate, waits: list[float]
) -> None:
    clock = Clock()
    limiter = MemoryRateLimiter(rate, clock)
    passed: list[float] = []
    for wait in waits:
        clock.time += wait
        try:
            await limiter.take("band")
        except RateLimitError:
            continue
        passed.append(clock.time)
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], start=first):
            assert last - first + 1 <= rate.limit + (end - start) / rate.interval + 1e-3


@pytest.mark.asyncio
@given(limit=st.integers(1, 1000), period=st.floats(0.1, 100_000))
async def test_who_keeps_to_the_rate_is_never_refused(limit: int, period: float) -> None:
    clock = Clock()
    limiter = MemoryRateLimiter(Rate(limit, period), clock)
    assert await taken(limiter, attempts=limit) == limit
    for _ in range(50):
        clock.time += period / limit * 1.0001
        await limiter.take("band")


@pytest.mark.asyncio
async def test_a_flood_of_names_costs_no_more_memory_than_allowed() -> None:
    clock = Clock()
    limiter = MemoryRateLimiter(RATE, clock, maximum_names=100)
    for number in range(10_000):
        await limiter.take(f"client {number}")
    assert len(limiter) == 100


@pytest.mark.asyncio
async def test_a_flood_of_names_does_not_make_those_be_forgotten_that_come_again_and_again() -> None:
    limiter = MemoryRateLimiter(RATE, Clock(), maximum_names=10)
    for use in range(RATE.limit):
        await limiter.take("band")
        for number in range(9):
            await limiter.take(f"client {use} {number}")
    with pytest.raises(RateLimitError):
        await limiter.take("band")


@pytest.mark.asyncio
async def test_names_that_mean_nothing_any_more_are_forgotten() -> None:
    clock = Clock()
    limiter = MemoryRateLimiter(RATE, clock)
    for number in range(10_000):
        clock.time += 1
        await limiter.take(f"client {number}")
    assert len(limiter) <= RATE.interval + 1


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_client_is_counted_by_what_it_cannot_choose(address: str, name: str) -> None:
    assert client_name(address) == name


def test_a_limit_of_nothing_is_refused() -> None:
    for limit, period in ((0, 60.0), (1, 0.0)):
        with pytest.raises(ConfigurationError, match="at least 1"):
            Rate(limit, period)
