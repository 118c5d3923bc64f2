"""Declarations of options as fields of a dataclass, from which flags, HTTP fields and tables are made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, get_args, get_origin, get_type_hints

from spleeter_microservice.errors import ConfigurationError


@dataclass(frozen=True)
class Option:
    """The declaration of one option.

    Attributes:
        name: name of the field.
        hint: its type: str, int, float or bool, one of these or None, a tuple of names, or texts by name.
        default: value when the caller does not choose one.
        help: a sentence that says what the option does.
        flags: flags of the command line; by default the name behind two dashes.
        choices: the only values, if there are few.
        minimum, maximum: lowest and highest value of a number.
        above: value that a number must exceed.
        pattern: regular expression that the text must match in HTTP requests; where stems are listed, that
            of other names that can be listed with them.
        unit: unit of a number, in the plural, or what each value of several is called in help.
        example: value to show in the OpenAPI document.
        http: whether HTTP requests may set the option.
        switch: value that the flag sets, if it takes none.
        best: value for the best quality when the caller does not choose one; None if it is the default.
    """

    name: str
    hint: Any
    default: Any
    help: str
    flags: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    pattern: str | None = None
    unit: str = ""
    example: Any = None
    http: bool = True
    switch: str | None = None
    best: Any = None

    @property
    def kind(self) -> type:
        """Type of the values other than None; tuple or Mapping if there may be several."""
        several: type | None = get_origin(self.hint)
        if several in (tuple, Mapping):
            return several
        kind: type = next(kind for kind in get_args(self.hint) or (self.hint,) if kind is not type(None))
        return kind

    @property
    def may_be_none(self) -> bool:
        """Whether None is a value."""
        return type(None) in get_args(self.hint)

    def check(self, value: Any) -> None:
        """Raise an error if the option cannot have a value.

        Raises:
            ConfigurationError: if the value is not one of the choices or exceeds the limits.
        """
        if value is None and self.may_be_none:
            return
        if self.choices and value not in self.choices:
            raise self._error(value, f"one of {', '.join(self.choices)}")
        if self.kind is bool and not isinstance(value, bool):
            raise self._error(value, "True or False")
        if self.kind is str and not (isinstance(value, str) and value):
            raise self._error(value, "a text")
        low, high = self.limits
        number = {int: Integral, float: Real}.get(self.kind)
        is_number = number and isinstance(value, number) and not isinstance(value, bool)
        if number and not (is_number and low <= value <= high and value != self.above):
            raise self._error(value, f"{self.range or 'a number'} {self.unit}".rstrip())

    def _error(self, value: Any, possible: str) -> ConfigurationError:
        return ConfigurationError(f"Invalid {self.name} {value!r}. Choose {possible}.")

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest value (exclusive if it is ``above``) and highest value."""
        low = self.above if self.minimum is None else self.minimum
        return -math.inf if low is None else low, math.inf if self.maximum is None else self.maximum

    @property
    def range(self) -> str:
        """Limits in words; empty if there are none."""
        if self.limits == (-math.inf, math.inf):
            return ""
        low, high = (f"{limit:,.15g}" for limit in self.limits)
        return f"{low} to {high}" if self.above is None else f"more than {low}, at most {high}"


def option(default: Any, help: str, **facts: Any) -> Any:  # noqa: A002  (what argparse calls it)
    """Declare a field of a dataclass as an option; ``facts`` are attributes of ``Option``."""
    return field(
        default=None if "best" in facts else default, metadata={"default": default, "help": help, **facts}
    )


def declared_options(kind: type[Any]) -> list[Option]:
    """Return the options that a dataclass declares, in order."""
    hints = get_type_hints(kind)
    return [Option(each.name, hints[each.name], **each.metadata) for each in fields(kind) if each.metadata]
