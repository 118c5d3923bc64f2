"""Write the generated tables of README.md, docs/*.md and compose.yaml, or check that they are up to date.

A table stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``, in YAML after ``#``. Each module of
``scripts/docs_tables`` exports ``TABLES``, a dictionary from names to functions that return a table's lines.
"""

from __future__ import annotations

import argparse
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path

from scripts import docs_tables

Table = Callable[[], Iterable[str]]

ROOT = Path(__file__).parents[1]
_START = re.compile(r"^( *# |)<!-- generated: (\S+) -->\n", re.MULTILINE)
_END = "<!-- end -->\n"


def find_tables() -> dict[str, Table]:
    """Return the tables of all modules in ``scripts/docs_tables``, by name."""
    names = (found.name for found in pkgutil.iter_modules(docs_tables.__path__, f"{docs_tables.__name__}."))
    tables: dict[str, Table] = {}
    for name in names:
        tables |= import_module(name).TABLES
    return tables


def rewrite(text: str, tables: Mapping[str, Table]) -> str:
    """Return a document with every table replaced by the current one.

    Raises:
        ValueError: if a marker names an unknown table or has no end marker.
    """
    before, *parts = _START.split(text)
    rewritten = [before]
    for comment, name, rest in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if name not in tables:
            raise ValueError(f"No table is called {name!r}. The tables are {', '.join(sorted(tables))}.")
        _, end, after = rest.partition(comment + _END)
        if not end:
            raise ValueError(f"The table {name!r} is not closed. Write {_END.strip()} on a line below it.")
        start = f"{comment}<!-- generated: {name} -->\n"
        rewritten += [start, *(f"{line}\n" for line in tables[name]()), end, after]
    return "".join(rewritten)


def update(documents: Iterable[Path], tables: Mapping[str, Table], *, write: bool) -> list[str]:
    """Return one line for each document that is out of date or wrongly marked.

    Args:
        documents: Markdown or YAML files.
        tables: functions that return the lines of a table, by name.
        write: rewrite documents that are out of date instead of reporting them.
    """
    complaints = []
    for path in documents:
        text = path.read_text(encoding="utf-8")
        try:
            current = rewrite(text, tables)
        except ValueError as error:
            complaints.append(f"{path}: {error}")
            continue
        if current == text:
            continue
        if write:
            path.write_text(current, encoding="utf-8")
        else:
            complaints.append(f"{path}: a generated table is out of date. Run: make docs")
    return complaints


def main() -> int:
    """Run the command; return 1 if a document is out of date or wrongly marked, otherwise 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="report outdated files instead of writing them")
    documents = [ROOT / "compose.yaml", ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    complaints = update(documents, find_tables(), write=not parser.parse_args().check)
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
