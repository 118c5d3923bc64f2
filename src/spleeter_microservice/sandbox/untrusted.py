"""Reading of what a confined process sends, which may be anything if a file has taken it over."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from spleeter_microservice.sandbox.framing import ProtocolError

T = TypeVar("T")

_LONGEST_TEXT = 500  # characters
_LARGEST = sys.float_info.max


def read(kind: type[T], values: object, **known: Any) -> T:
    """Read a dataclass of numbers, counts and texts.

    Args:
        kind: the dataclass.
        values: its values by name, as they were received.
        known: values of the fields that are not read.

    Raises:
        ProtocolError: if a value is missing or of another type.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, dict) or not hints.keys() - known.keys() <= values.keys():
        raise ProtocolError("a message is incomplete")
    return kind(**known, **{name: _value(hints[name], values[name]) for name in hints.keys() - known.keys()})


def _value(kind: Any, value: object) -> object:
    choices = get_args(kind) or (kind,)
    if value is None and NoneType in choices:
        return None
    return _READERS[choices[0]](value)


def number(value: object) -> float:
    """Return a number, which must be finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ProtocolError("a number is expected")
    return float(value)


def count(value: object) -> int:
    """Return a count, which JSON must be able to hold."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ProtocolError("a count is expected")
    return value


def text(value: object, longest: int = _LONGEST_TEXT) -> str:
    """Return a text, cut to a length in characters."""
    if not isinstance(value, str):
        raise ProtocolError("a text is expected")
    return value[:longest]


_READERS: Mapping[type, Callable[[object], object]] = {float: number, int: count, str: text}
