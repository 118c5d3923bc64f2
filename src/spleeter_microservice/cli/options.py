"""The options of a separation as flags of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from typing import Any

from spleeter_microservice.separation.declarations import Option, declared_options
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.separation.presets import PRESETS, with_preset


class ListPresets(argparse.Action):
    """A flag that prints the presets and ends the program."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(nargs=0, **arguments)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the presets."""
        for preset in PRESETS.values():
            print(f"{preset.name}: {preset.purpose}")
            print("  " + ", ".join(f"{name}: {value}" for name, value in preset.options.items()))
        parser.exit()


def add_options(parser: argparse.ArgumentParser, names: Collection[str] | None = None) -> None:
    """Add the flags of all options, or of those with the names, to a parser."""
    for option in declared_options(SeparationOptions):
        if names is None or option.name in names:
            flags = option.flags or (f"--{option.name.replace('_', '-')}",)
            parser.add_argument(
                *flags,
                dest=option.name,
                default=argparse.SUPPRESS,  # what is not chosen may come from a preset
                help=_help(option),
                **_value(option),
            )


def read_options(arguments: argparse.Namespace) -> SeparationOptions:
    """Return the options that were parsed; those without a flag have their default.

    Raises:
        ConfigurationError: if a value is impossible.
    """
    names = {option.name for option in declared_options(SeparationOptions)}
    chosen = with_preset({name: value for name, value in vars(arguments).items() if name in names})
    options = SeparationOptions(**{name: value for name, value in chosen.items() if name in names})
    options.check()
    return options


def _help(option: Option) -> str:
    text = option.help[0].lower() + option.help[1:].removesuffix(".")
    if option.default is True:
        return f"do not {text}"
    return (
        text
        if option.default in (None, False, ()) or option.switch
        else f"{text} (default: {option.default})"
    )


def _value(option: Option) -> dict[str, Any]:
    """Return the arguments of ``add_argument`` that describe the flag's value."""
    if option.kind is bool:
        return {"action": "store_false" if option.default else "store_true"}
    if option.kind in (tuple, Mapping):
        return {"action": "append", "metavar": option.unit.upper()}
    if option.switch:
        return {"action": "store_const", "const": option.switch}
    if option.choices:
        return {"choices": option.choices}
    return {"type": option.kind, "metavar": option.unit.upper() or None}
