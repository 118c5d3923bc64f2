"""Shares that requests hold until their responses are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Depends

from spleeter_microservice.access.shares import Share
from spleeter_microservice.web.auth import Caller
from spleeter_microservice.web.services import ServicesDep


def holding(share: Share) -> Any:
    """Return the dependency of routes whose requests hold one of a share."""

    async def hold(services: ServicesDep, caller: Caller) -> AsyncIterator[None]:
        with services.shares.hold(share, caller.tenant):
            yield

    return Depends(hold)
