"""A chore goes on when the service lacks something for it."""

from __future__ import annotations

import asyncio

import pytest

from spleeter_microservice import errors
from spleeter_microservice.jobs.chores import regularly

pytestmark = pytest.mark.asyncio


async def test_a_chore_is_repeated_unless_it_fails_for_another_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = iter(
        [
            errors.DatabaseUnavailableError("no database"),
            errors.StorageRefusedError("no store"),
            errors.AuditUnwritableError("no record"),
            LookupError("a mistake"),
        ]
    )

    async def chore() -> None:
        raise next(failures)

    with pytest.raises(LookupError):
        await asyncio.wait_for(regularly(0, chore), 60)
    logged = [record.getMessage() for record in caplog.records]
    assert logged == [f"chore put off: {reason}" for reason in ("no database", "no store", "no record")]
