"""Chores: what workers do from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from spleeter_microservice.errors import AuditUnwritableError, DatabaseUnavailableError, StorageError

logger = logging.getLogger(__name__)


async def regularly(seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
    """Do a chore again and again, until cancelled; if the service lacks something for it, that is logged."""
    while True:
        try:
            await chore()
        except (AuditUnwritableError, DatabaseUnavailableError, StorageError) as error:
            logger.warning("chore put off: %s", error)
        await asyncio.sleep(seconds)
