"""The tables of options: the flags of commands in docs/cli.md, and the fields of HTTP in docs/api.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from scripts.markdown import table
from spleeter_microservice.cli.main import make_parser
from spleeter_microservice.separation.declarations import declared_options
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.web.openapi.responses import BODIES

_COMMANDS = ("separate", "evaluate", "train")


def _flags(command: str) -> Iterator[str]:
    actions = make_parser()._actions
    (commands,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))
    flags = [action for action in commands.choices[command]._actions if action.dest != "help"]
    return table(("Flag", "Value", "Meaning"), map(_flag_row, flags))


def _flag_row(action: argparse.Action) -> tuple[object, ...]:
    meaning = (action.help or "") % vars(action)
    if not action.option_strings:
        return f"`{action.metavar}`", "", meaning
    return _codes(action.option_strings), _flag_value(action), meaning


def _flag_value(action: argparse.Action) -> str:
    ranges = {
        option.name: f"{option.range} {option.unit}"
        for option in declared_options(SeparationOptions)
        if option.range
    }
    if action.choices or action.nargs == 0:
        return _codes(action.choices or ())
    return ranges.get(action.dest) or f"`{action.metavar or action.dest.upper()}`"


def _fields() -> Iterator[str]:
    properties: Mapping[str, Mapping[str, Any]] = BODIES["SeparationForm"]["properties"]
    rows = [
        (f"`{name}`", _value(schema), _default(schema), schema["description"])
        for name, schema in properties.items()
    ]
    return table(("Field", "Value", "Default", "Meaning"), rows)


def _value(schema: Mapping[str, Any]) -> str:
    if "oneOf" in schema:
        return " or ".join(map(_value, schema["oneOf"]))
    if schema["type"] == "array":
        stems = schema["items"].get("anyOf", [schema["items"]])[0]
        return f"any of {_codes(stems['enum'])}"
    if "enum" in schema:
        return _codes(schema["enum"])
    kind = str(schema["type"]).replace("string", "text").replace("boolean", "`true`, `false`")
    low, above, high = (schema.get(name) for name in ("minimum", "exclusiveMinimum", "maximum"))
    if high is None:
        return "file" if schema.get("format") == "binary" else kind
    return f"{low:g} to {high:,.0f}" if above is None else f"more than {above:g}, at most {high:,.0f}"


def _default(schema: Mapping[str, Any]) -> str:
    default = schema.get("default")
    return "" if default in (None, False, [], {}) else f"`{'true' if default is True else default}`"


def _codes(values: Iterable[object]) -> str:
    return ", ".join(f"`{value}`" for value in values)


TABLES = {f"flags-{command}": partial(_flags, command) for command in _COMMANDS} | {"fields": _fields}
