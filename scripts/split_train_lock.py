"""Writes the two lock files of the extra ``train``, from what a resolver made of it.

Usage: split_train_lock.py COMPILED

``requirements-train.txt`` is that, without what ``requirements-dev.txt`` pins already: PyTorch as
package indexes have it, which on Linux is its build for CUDA, and CUDA's libraries, without which it does
not load. ``requirements-train-cpu.txt`` has PyTorch's build for processors alone instead, a tenth of the
download, for machines where pip is shown one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CUDA = re.compile(r"(nvidia|cuda)-|triton")
_TORCH = "torch==2.13.0"
_PROCESSORS_ALONE = (
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",  # CPython 3.11, Linux, x86-64
)


def main() -> None:
    """Write both files into the working folder."""
    pinned = {_name(entry) for entry in _entries(Path("requirements-dev.txt"))}
    entries = [entry for entry in _entries(Path(sys.argv[1])) if _name(entry) not in pinned]
    if not any(entry.startswith(f"{_TORCH} ") for entry in entries):
        sys.exit(f"The hashes of builds for processors alone are those of {_TORCH}: bring them up to date.")
    _write("requirements-train.txt", entries)
    others = [entry for entry in entries if not _CUDA.match(entry) and _name(entry) != _name(_TORCH)]
    hashes = " \\\n".join(f"    --hash=sha256:{sha256}" for sha256 in _PROCESSORS_ALONE)
    _write("requirements-train-cpu.txt", [*others, f"{_TORCH}+cpu \\\n{hashes}\n"])


def _entries(path: Path) -> list[str]:
    """Give each requirement with its hashes."""
    return re.findall(r"^\S.*\n(?:[ \t]+.*\n)*", path.read_text(encoding="utf-8"), re.MULTILINE)


def _name(entry: str) -> str:
    return entry.partition("==")[0]


def _write(name: str, entries: list[str]) -> None:
    Path(name).write_text("".join(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
