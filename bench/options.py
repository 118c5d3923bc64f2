"""The command line that the benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Collection


def parser(description: str | None, sections: Collection[str], rounds: int) -> argparse.ArgumentParser:
    """Return a parser of sections, ``--rounds`` and ``--quick``.

    Args:
        description: the text above the options.
        sections: the names of the sections; without any on the command line the list is empty.
        rounds: the default number of rounds.
    """

    def section(name: str) -> str:
        if name not in sections:
            raise argparse.ArgumentTypeError(f"unknown section {name!r}: choose from {', '.join(sections)}")
        return name

    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    help_text = f"{', '.join(sections)} (default: all of them)"
    made.add_argument("sections", nargs="*", type=section, metavar="SECTION", help=help_text)
    made.add_argument("--rounds", type=int, default=rounds, help="runs per figure (default: %(default)s)")
    made.add_argument("--quick", action="store_true", help="run one short section")
    return made
