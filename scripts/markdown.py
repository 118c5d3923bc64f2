"""Markdown for the generated parts of documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table; each row has one cell per column."""
    yield _row(columns)
    yield _row(["---"] * len(columns))
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: object) -> str:
    return str(value).replace("|", r"\|").replace("``", "`")  # docstrings mark code with two backticks
