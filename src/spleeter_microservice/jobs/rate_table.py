"""How often somebody did something, counted in the database."""

from __future__ import annotations

from collections.abc import Callable

from spleeter_microservice.jobs.database import Database
from spleeter_microservice.security.limits import Rate, limited


class RateTable:
    """A ``RateLimiter`` that all processes share; the algorithm is ``MemoryRateLimiter``'s.

    Every call raises ``DatabaseUnavailableError`` when the database is away.

    Args:
        database: open.
        rate: how often.
        kind: of what is counted; names of one kind are nothing to another.
        now: seconds that never go back; by default the database's, which all processes share.
    """

    def __init__(
        self, database: Database, rate: Rate, kind: str, now: Callable[[], float | None] = lambda: None
    ) -> None:
        self.rate = rate
        self._database = database
        self._kind = kind
        self._now = now

    async def take(self, name: str) -> None:
        """Count one more."""
        await self._run("take_rate", name)

    async def check(self, name: str) -> None:
        """Count nothing."""
        await self._run("check_rate", name)

    async def _run(self, statement: str, name: str) -> None:
        async with self._database.transaction() as transaction:
            row = await transaction.one(
                statement,
                name=f"{self._kind}:{name}",
                now=self._now(),
                interval=self.rate.interval,
                period=self.rate.period * (1 + 1e-9),  # for rounding
            )
        if row["wait"] > 0:
            raise limited(row["wait"])


async def prune_rates(database: Database) -> int:
    """Forget names whose whole allowance is there again; tell how many."""
    async with database.transaction() as transaction:
        return await transaction.do("prune_rates")
