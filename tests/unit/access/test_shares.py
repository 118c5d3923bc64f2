"""Tenants have shares of what a process holds, and take turns at what is slow."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spleeter_microservice.access.shares import Bound, Share, Shares, Turns
from spleeter_microservice.errors import ShareError, TooManyUploadsError


def shares(limit: int, in_all: int) -> Shares:
    return Shares([Bound(Share.UPLOADS, limit, in_all), Bound(Share.SCANS, 1, 1)])


def take_all(held: ExitStack, found: Shares, tenant: str) -> int:
    """Take as much as a tenant can."""
    for count in range(10_000):
        try:
            held.enter_context(found.hold(Share.UPLOADS, tenant))
        except TooManyUploadsError:
            return count
    raise AssertionError


@given(st.integers(1, 20), st.integers(10, 300), st.integers(1, 8))
def test_whatever_others_take_another_tenant_has_a_share(limit: int, in_all: int, greedy: int) -> None:
    found = shares(limit, in_all)
    with ExitStack() as held:
        counts = [take_all(held, found, str(number)) for number in range(greedy)]
        assert max(counts) <= limit
        newcomer = take_all(held, found, "new")
        assert sum(counts) + newcomer <= in_all
        # A ninth is left by the first, a ninth of that by the second, and so on.
        assert newcomer or in_all < 9**greedy
    assert [found.held(Share.UPLOADS, tenant) for tenant in ("0", "new")] == [0, 0]
    with ExitStack() as held:
        assert take_all(held, found, "0") == counts[0]


def test_a_refusal_says_what_is_held_and_what_is_allowed() -> None:
    found = shares(2, 100)
    with ExitStack() as held:
        take_all(held, found, "ann")
        with pytest.raises(ShareError, match=r"You have 2 uploads under way, and may have at most 2\. Wait"):
            held.enter_context(found.hold(Share.UPLOADS, "ann"))
    full = Bound(Share.UPLOADS, 64, 10)
    with pytest.raises(ShareError, match=r"You have 0 .* may have at most 0 at the moment"):
        full.check(0, 10)


@pytest.mark.asyncio
async def test_a_tenant_waits_for_its_own_turns_only() -> None:
    turns, began, ends = Turns(1, 2), list[str](), asyncio.Event()

    async def use(tenant: str) -> None:
        async with turns.take(tenant):
            began.append(tenant)
            await ends.wait()

    async with asyncio.TaskGroup() as group:
        for tenant in ("ann", "ann", "ann", "bob", "eve"):
            group.create_task(use(tenant))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert began == ["ann", "bob"]
        ends.set()
    assert began == ["ann", "bob", "eve", "ann", "ann"]
