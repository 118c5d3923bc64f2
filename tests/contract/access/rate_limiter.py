"""What every rate limiter must do: a class of tests to derive from.

An implementation's test derives from ``RateLimiterContract`` and provides a fixture ``limiter``
that allows ``RATE`` and takes its time from the fixture ``clock``.
"""

import pytest

from spleeter_microservice.access.rate_limit import Rate, RateLimiter
from spleeter_microservice.errors import RateLimitError

RATE = Rate(limit=6, period=60)


class Clock:
    """A clock, in seconds, that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


async def taken(limiter: RateLimiter, name: str = "band", attempts: int = 100) -> int:
    """Take until refused; return how often that succeeded."""
    for number in range(attempts):
        try:
            await limiter.take(name)
        except RateLimitError:
            return number
    return attempts


@pytest.mark.asyncio
class RateLimiterContract:
    """Tests of every ``RateLimiter``; ``limiter`` is unused at the beginning of each test."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    async def test_as_many_as_the_limit_may_come_at_once(self, limiter: RateLimiter) -> None:
        assert await taken(limiter) == RATE.limit

    async def test_what_is_left_is_returned(self, limiter: RateLimiter, clock: Clock) -> None:
        left = [await limiter.take("band") for _ in range(RATE.limit)]
        assert [allowance.remaining for allowance in left] == [5, 4, 3, 2, 1, 0]
        assert {allowance.wait for allowance in left} == {10}
        clock.time += 24
        allowance = await limiter.take("band")
        assert (allowance.remaining, round(allowance.wait, 6)) == (1, 6)

    async def test_one_name_does_not_use_up_another_s(self, limiter: RateLimiter) -> None:
        await taken(limiter, "band")
        assert await taken(limiter, "choir") == RATE.limit

    async def test_one_more_is_allowed_after_retry_after(self, limiter: RateLimiter, clock: Clock) -> None:
        await taken(limiter)
        with pytest.raises(RateLimitError, match="Try again in 10 s") as caught:
            await limiter.take("band")
        assert caught.value.retry_after == 10
        clock.time += caught.value.retry_after
        assert await taken(limiter) == 1

    async def test_the_allowance_refills_up_to_the_limit(self, limiter: RateLimiter, clock: Clock) -> None:
        await taken(limiter)
        clock.time += 29.9
        assert await taken(limiter) == 2
        clock.time += 100 * RATE.period
        assert await taken(limiter) == RATE.limit

    async def test_refused_attempts_do_not_prolong_the_wait(self, limiter: RateLimiter, clock: Clock) -> None:
        await taken(limiter)
        for _ in range(50):
            clock.time += 0.1
            with pytest.raises(RateLimitError):
                await limiter.take("band")
        clock.time += 5.1
        assert await taken(limiter) == 1

    async def test_no_more_pass_in_any_time_than_the_limit_and_the_refill(
        self, limiter: RateLimiter, clock: Clock
    ) -> None:
        passed: list[float] = []
        for number in range(100):
            clock.time += number * 7 % 23 / 2
            if await taken(limiter, attempts=1):
                passed.append(clock.time)
        for first, start in enumerate(passed):
            for last, end in enumerate(passed[first:], start=first):
                assert last - first + 1 <= RATE.limit + (end - start) / RATE.interval + 1e-3

    async def test_a_caller_that_keeps_to_the_rate_is_never_refused(
        self, limiter: RateLimiter, clock: Clock
    ) -> None:
        await taken(limiter)
        for _ in range(20):
            clock.time += RATE.interval
            await limiter.take("band")

    async def test_the_wait_is_at_least_a_second(self, limiter: RateLimiter, clock: Clock) -> None:
        await taken(limiter)
        clock.time += 9.9
        with pytest.raises(RateLimitError) as caught:
            await limiter.take("band")
        assert caught.value.retry_after == 1
