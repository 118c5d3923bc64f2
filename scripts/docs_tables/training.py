"""The table of a training's keys in docs/training.md."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.separation.declarations import Option, declared_options
from spleeter_microservice.training.configuration import TrainingConfiguration


def _keys() -> Iterator[str]:
    return table(("Key", "Meaning", "Default"), map(_row, declared_options(TrainingConfiguration)))


def _row(key: Option) -> tuple[str, str, str]:
    if key.default is None:
        return f"`{key.name}`", key.help, "" if key.may_be_none else "required"
    return f"`{key.name}`", key.help, f"`{str(key.default).lower() if key.kind is bool else key.default}`"


TABLES = {"training-keys": _keys}
