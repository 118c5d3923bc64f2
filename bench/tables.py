"""Tables of figures as text."""

from __future__ import annotations


def row(*cells: str) -> None:
    """Print one row of a table."""
    print(f"{cells[0]:26}" + "".join(f"{cell:>16}" for cell in cells[1:]), flush=True)
