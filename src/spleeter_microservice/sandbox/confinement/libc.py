"""The C library, for system calls that Python does not offer."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any


@functools.cache
def libc() -> ctypes.CDLL:
    """Return the C library that this process has loaded."""
    return ctypes.CDLL(None, use_errno=True)


def call(function: Callable[..., int], *arguments: Any) -> bool:
    """Call a function that returns a negative number on failure; return whether it succeeded.

    Integers are passed as 64 bits: otherwise variadic functions would read an undefined upper half.
    """
    return function(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)) >= 0
