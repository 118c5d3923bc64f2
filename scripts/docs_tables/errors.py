"""The tables of docs/errors.md: every error, and what each interface reports for it, and every warning."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.audio.warnings import WARNINGS
from spleeter_microservice.errors import SpleeterError, error_classes
from spleeter_microservice.web.problem_catalogue import HTTP_PROBLEMS

_COLUMNS = ("Code", "HTTP status", "Exit status", "Class", "Meaning")


def _errors() -> Iterator[str]:
    rows = [_row(kind) for kind in error_classes()]
    known = {kind.facts.code for kind in error_classes()}
    framework = [facts for facts in HTTP_PROBLEMS.values() if facts.code not in known]
    rows += [(f"`{facts.code}`", facts.http, "", "", facts.public) for facts in framework]
    return table(_COLUMNS, rows)


def _row(kind: type[SpleeterError]) -> tuple[object, ...]:
    depth = len(kind.__mro__) - len(SpleeterError.__mro__)
    meaning = inspect.getdoc(kind) or ""
    facts = kind.facts
    name = f"{'– ' * depth}`{kind.__name__}`"
    return f"`{facts.code}`", facts.http, facts.exit_status, name, meaning.splitlines()[0]


def _warnings() -> Iterator[str]:
    return table(("Code", "Meaning"), [(f"`{code}`", meaning) for code, meaning in WARNINGS.items()])


TABLES = {"errors": _errors, "warnings": _warnings}
