"""The table of docs/errors.md: every error of the package, and what each interface reports for it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from scripts.markdown import table
from spleeter_microservice.cli.exit_statuses import exit_status
from spleeter_microservice.errors import SpleeterError
from spleeter_microservice.web.problem_catalogue import HTTP_PROBLEMS, PROBLEMS, problem_of


def _errors() -> Iterator[str]:
    columns = ("Class", "Code", "HTTP status", "Exit status", "Meaning")
    return table(columns, (*_rows(SpleeterError, depth=0), *_framework_rows()))


def _rows(kind: type[SpleeterError], depth: int) -> Iterator[tuple[object, ...]]:
    problem = problem_of(kind)
    meaning = inspect.getdoc(kind) or ""
    name = f"{'– ' * depth}`{kind.__name__}`"
    yield name, f"`{problem.name}`", problem.status, exit_status(kind.__new__(kind)), meaning.splitlines()[0]
    for below in kind.__subclasses__():
        yield from _rows(below, depth + 1)


def _framework_rows() -> Iterator[tuple[object, ...]]:
    known = {problem.name for problem in PROBLEMS.values()}
    for problem in HTTP_PROBLEMS.values():
        if problem.name not in known:
            yield "", f"`{problem.name}`", problem.status, "", problem.detail


TABLES = {"errors": _errors}
