"""The tables of docs/errors.md: every error, and what each interface reports for it, and every warning."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.audio.warnings import WARNINGS
from spleeter_microservice.errors import SpleeterError, error_classes

_COLUMNS = ("Code", "HTTP status", "Exit status", "Class", "Meaning")


def _errors() -> Iterator[str]:
    return table(_COLUMNS, map(_row, error_classes()))


def _row(kind: type[SpleeterError]) -> tuple[object, ...]:
    depth = sum(issubclass(above, SpleeterError) for above in kind.__mro__) - 1
    meaning = inspect.getdoc(kind) or ""
    name = f"{'– ' * depth}`{kind.__name__}`"
    return f"`{kind.code}`", kind.http, kind.exit_status, name, meaning.splitlines()[0]


def _warnings() -> Iterator[str]:
    return table(("Code", "Meaning"), [(f"`{code}`", meaning) for code, meaning in WARNINGS.items()])


TABLES = {"errors": _errors, "warnings": _warnings}
