"""Waiting for what announces itself nowhere: files, other processes, rows, the kernel's tables.

Where a test can await an event or a task instead, it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

_SHORTEST, _LONGEST = 0.01, 0.1  # seconds between looks
_SHARE = 0.05  # of the time waited so far; each look may cost a request, or reading all of /proc
_PATIENCE = 180.0  # seconds; a machine that runs several test processes is slow, not wrong

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value | None], within: float = _PATIENCE) -> Value:
    """Wait until a function returns something true, and return that.

    Raises:
        AssertionError: if it does not within this many seconds.
    """
    begin = time.monotonic()
    while not (value := condition()):
        assert time.monotonic() < begin + within, f"still {value!r} after {within} s"
        time.sleep(_pause(begin))
    return value


@overload
async def eventually(condition: Callable[[], Awaitable[Value | None]], within: float = ...) -> Value: ...
@overload
async def eventually(condition: Callable[[], Value | None], within: float = ...) -> Value: ...
async def eventually(condition: Callable[[], Any], within: float = _PATIENCE) -> Any:
    """Wait until a function, or the coroutine that it returns, gives something true, and return that.

    Raises:
        AssertionError: if it does not within this many seconds.
    """
    begin = time.monotonic()
    while not (value := await _value(condition())):
        assert time.monotonic() < begin + within, f"still {value!r} after {within} s"
        await asyncio.sleep(_pause(begin))
    return value


async def still(condition: Callable[[], Any], seconds: float = 0.5) -> None:
    """Watch that a condition goes on to hold, where the wrong thing could happen at any time.

    Raises:
        AssertionError: if it ceases to hold within this many seconds.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert await _value(condition()), "holds no longer"
        await asyncio.sleep(_SHORTEST)


async def _value(found: Any) -> Any:
    return await found if isinstance(found, Awaitable) else found


def _pause(begin: float) -> float:
    """Return the seconds until the next look, which grow with the time waited since the beginning."""
    return min(max(_SHORTEST, _SHARE * (time.monotonic() - begin)), _LONGEST)
