"""The documents of the repository, and the blocks of commands, code and data in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "research/lite/README.md",
]


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        document: path of the document in the repository.
        section: heading that it is below.
        language: word after the fence.
        text: its lines.
    """

    document: str
    section: str
    language: str
    text: str


def blocks(document: str = "", language: str = "") -> list[Block]:
    """Return the blocks of all documents, or only those of one document or language, in their order."""
    found = (block for path in DOCUMENTS for block in _blocks(path))
    return [block for block in found if document in ("", block.document) and language in ("", block.language)]


def _blocks(path: Path) -> Iterator[Block]:
    section = ""
    pieces = re.finditer(
        r"^#+ (.*)$|^```(.*)\n((?s:.*?))^```$", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    for heading, language, text in (piece.groups() for piece in pieces):
        if heading is None:
            yield Block(path.relative_to(ROOT).as_posix(), section, language, text)
        section = heading or section
