"""Shares: how much of the service a tenant may hold at a time, and all tenants together."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from weakref import WeakValueDictionary

from spleeter_microservice import errors

_TIMES_FREE = 8


class Share(StrEnum):
    """Something that tenants share.

    Attributes:
        error: what refuses to hold more of it; None if more has to wait.
        of_service: whether the whole service has it, counted in the database under this name, and not each
            process.
    """

    error: type[errors.ShareError] | None
    of_service: bool

    def __new__(cls, value: str, error: type[errors.ShareError] | None, of_service: bool = False) -> Self:
        """Return the member for a value and its attributes."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.error, member.of_service = error, of_service
        return member

    UPLOADS = "uploads", errors.TooManyUploadsError
    FETCHES = "fetches", errors.TooManyFetchesError
    SCANS = "scans", None
    INSPECTIONS = "inspections", None
    DOWNLOADS = "downloads", errors.TooManyDownloadsError
    EVENT_STREAMS = "event_streams", errors.TooManyStreamsError
    QUEUED_JOBS = "queued_jobs", errors.QueueFullError, True
    QUEUED_SECONDS = "queued_seconds", errors.QueueTooLongError, True
    STORED_BYTES = "stored_bytes", errors.StoredTooMuchError, True
    PENDING_WEBHOOKS = "pending_webhooks", errors.WebhooksPendingError, True
    PENDING_UPLOADS = "pending_uploads", errors.UploadsPendingError, True


@dataclass(frozen=True)
class Bound:
    """How much of a share may be held.

    A tenant may also hold at most eight times what is free. However many tenants take what they can,
    something is left for others (decision 20).

    Attributes:
        share: what is held.
        limit: how much of it a tenant may hold.
        in_all: how much of it all tenants may hold together.
    """

    share: Share
    limit: int
    in_all: int

    def check(self, held: int, held_in_all: int) -> None:
        """Check that a tenant may hold more.

        Raises:
            ShareError: if not; the subclass is the share's.
        """
        error = self.share.error
        allowed = min(self.limit, _TIMES_FREE * max(0, self.in_all - held_in_all))
        if error is not None and held >= allowed:
            most = f"at most {allowed}{' at the moment' if allowed < self.limit else ''}"
            raise error(f"You have {held} {error.what}, and may have {most}. {error.advice}")


class Turns:
    """Turns that tenants take; a tenant with as many as it may have waits, and delays no other by more.

    Args:
        of_each: how many a tenant may have at a time.
        in_all: how many may be taken at a time.
    """

    def __init__(self, of_each: int, in_all: int) -> None:
        self._of_each = of_each
        self._in_all = asyncio.Semaphore(in_all)
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block."""
        own = self._of.setdefault(tenant, asyncio.Semaphore(self._of_each))
        # With few of each tenant in it, a queue gives every tenant the same turns.
        async with own, self._in_all:
            yield


class Shares:
    """The shares of one process that tenants hold, and the bounds of all shares.

    Attributes:
        bounds: all bounds, by what they bound.
        scans: turns at scanning for viruses.
    """

    def __init__(self, bounds: Iterable[Bound]) -> None:
        self.bounds = {bound.share: bound for bound in bounds}
        self.scans = Turns(self.bounds[Share.SCANS].limit, self.bounds[Share.SCANS].in_all)
        self._held: defaultdict[Share, Counter[str]] = defaultdict(Counter)

    @property
    def of_service(self) -> list[Bound]:
        """The bounds that the database is needed for."""
        return [bound for share, bound in self.bounds.items() if share.of_service]

    @contextmanager
    def hold(self, share: Share, tenant: str) -> Iterator[None]:
        """Hold one of a share.

        Raises:
            ShareError: if the tenant may not hold more.
        """
        held = self._held[share]
        self.bounds[share].check(held[tenant], held.total())
        held[tenant] += 1
        try:
            yield
        finally:
            held[tenant] -= 1
            held += Counter()  # drops the tenants with none

    def held(self, share: Share, tenant: str) -> int:
        """Return how much a tenant holds of this process."""
        return self._held[share][tenant]
