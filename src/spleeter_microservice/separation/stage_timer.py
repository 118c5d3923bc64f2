"""Processor time by stage."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class StageTimer:
    """Processor time of each stage in seconds, summed over threads.

    The time of a stage measured inside another one is not counted twice. Threads that a stage starts
    itself (ONNX Runtime's, on more than four cores) are not measured.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._inner = threading.local()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the processor time that this thread spends in the block."""
        start = time.thread_time()
        before = getattr(self._inner, "seconds", 0.0)
        self._inner.seconds = 0.0
        try:
            yield
        finally:
            elapsed = time.thread_time() - start
            with self._lock:
                self.seconds[stage] += elapsed - self._inner.seconds
            self._inner.seconds = before + elapsed

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, adding the time that it takes to produce them."""
        iterator = iter(items)
        while True:
            with self.measure(stage):
                item = next(iterator, None)
            if item is None:
                return
            yield item
