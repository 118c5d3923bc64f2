"""Deferral of SIGINT and SIGTERM until a step is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Defer the first SIGINT and SIGTERM; a second one acts at once.

    Yields:
        A function that raises ``KeyboardInterrupt`` or ``SystemExit`` if a signal has arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread receives signals
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)
        signal.signal(number, former[signal.Signals(number)])

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def check() -> None:
        for number in held:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + number)

    for number in former:
        signal.signal(number, hold)
    try:
        yield check
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
