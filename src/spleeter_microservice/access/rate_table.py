"""How often somebody did something, counted in the database."""

from __future__ import annotations

import time
from collections.abc import Callable

from spleeter_microservice.access.rate_limit import Rate, limited
from spleeter_microservice.database.connection import Database

_PORTIONS = 100
"""Of an allowance; a process takes one at a time, so that not every request needs the database."""
_FRESH = 1.0  # seconds for which a look at the database is good
_NAMES = 10_000  # that are remembered


class DatabaseRateLimiter:
    """A ``RateLimiter`` that all processes share; names have an allowance each.

    What a process has left of a portion stays with it: so much less is there for the others. That
    others have used up an allowance is noticed by ``check`` a second later, by ``take`` at once.

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
        self._portion = max(1, rate.limit // _PORTIONS)
        self._left: dict[str, int] = {}
        self._checked: dict[str, float] = {}

    async def take(self, name: str) -> None:
        """Count one more."""
        self._checked.pop(name, None)
        if not self._left.get(name):
            _bound(self._left)
            await self._take_portion(name)
        self._left[name] -= 1

    async def check(self, name: str) -> None:
        """Count nothing."""
        if time.monotonic() - self._checked.get(name, -_FRESH) < _FRESH:
            return
        wait = await self._wait("check_rate", name, 1)
        if wait > 0:
            raise limited(wait)
        _bound(self._checked)
        self._checked[name] = time.monotonic()

    async def _take_portion(self, name: str) -> None:
        """Take a portion or, when there is not so much left, one."""
        for count in dict.fromkeys((self._portion, 1)):
            wait = await self._wait("take_rate", name, count)
            if wait <= 0:
                self._left[name] = self._left.get(name, 0) + count
                return
        raise limited(wait)

    async def _wait(self, statement: str, name: str, count: int) -> float:
        """Give the seconds until so many more may come."""
        async with self._database.statement() as single:
            row = await single.one(
                statement,
                name=f"{self._kind}:{name}",
                now=self._now(),
                interval=self.rate.interval * count,
                period=self.rate.period * (1 + 1e-9),  # for rounding
            )
        return float(row["wait"])


def _bound(names: dict[str, int] | dict[str, float]) -> None:
    """Forget everything when it is too much: it only spares the database."""
    if len(names) > _NAMES:
        names.clear()


async def prune_rates(database: Database) -> int:
    """Forget names whose whole allowance is there again; tell how many."""
    async with database.statement() as statement:
        return await statement.do("prune_rates")
