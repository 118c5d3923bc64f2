"""The table of settings in docs/cli.md."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.settings import variables


def _settings() -> Iterator[str]:
    return table(("Variable", "Meaning", "Default"), _rows())


def _rows() -> Iterator[tuple[str, str, str]]:
    for variable in variables():
        yield f"`{variable.name}`", variable.meaning, variable.default or _shown(variable.value)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        value = "on" if value else "off"
    if isinstance(value, tuple):
        value = ",".join(value)
    if isinstance(value, float):
        value = f"{value:g}"
    return "none" if value in (None, "") else f"`{value}`"


TABLES = {"settings": _settings}
