"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], texts: int | None = None) -> str:
    """Return rows of cells, the first of which are the headings, as lines of aligned columns.

    Args:
        rows: the cells.
        texts: number of columns of texts; numbers follow them, aligned to the right. None for texts alone.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        padded = (
            cell.ljust(width) if texts is None or i < texts else cell.rjust(width)
            for i, (cell, width) in cells
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
