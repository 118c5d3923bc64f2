"""The C library, for what Python has no functions for."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any


@functools.cache
def libc() -> ctypes.CDLL:
    """Give the C library that this process has loaded."""
    return ctypes.CDLL(None, use_errno=True)


def call(function: Callable[..., int], *arguments: Any) -> bool:
    """Call a function that returns a negative number when it fails; tell whether it did not.

    Integers go as 64-bit ones: variadic functions would read them with half of it undefined.
    """
    return function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)) >= 0
