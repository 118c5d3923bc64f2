"""Write the two lock files of the extra ``train`` from a resolver's output.

Usage: split_train_lock.py COMPILED

``requirements-train.txt`` contains the resolved packages that ``requirements-dev.txt`` does not pin: PyTorch
from the package index, which on Linux is the CUDA build, and the CUDA libraries, without which it does not
load. ``requirements-train-cpu.txt`` has PyTorch's CPU-only build instead, a tenth of the download, for
machines whose package index has it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CUDA = re.compile(r"(nvidia|cuda)-|triton")
_TORCH = "torch==2.13.0"
_CPU_ONLY = (
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",  # CPython 3.11, Linux, x86-64
)


def main() -> None:
    """Write both files to the working folder."""
    pinned = {_name(entry) for entry in _entries(Path("requirements-dev.txt"))}
    entries = [entry for entry in _entries(Path(sys.argv[1])) if _name(entry) not in pinned]
    if not any(entry.startswith(f"{_TORCH} ") for entry in entries):
        sys.exit(
            f"_CPU_ONLY has the hashes of {_TORCH}, which is not in the file. Update _TORCH and _CPU_ONLY."
        )
    _write("requirements-train.txt", entries)
    others = [entry for entry in entries if not _CUDA.match(entry) and _name(entry) != _name(_TORCH)]
    hashes = " \\\n".join(f"    --hash=sha256:{sha256}" for sha256 in _CPU_ONLY)
    _write("requirements-train-cpu.txt", [*others, f"{_TORCH}+cpu \\\n{hashes}\n"])


def _entries(path: Path) -> list[str]:
    """Return the requirements, each with its hashes."""
    return re.findall(r"^\S.*\n(?:[ \t]+.*\n)*", path.read_text(encoding="utf-8"), re.MULTILINE)


def _name(entry: str) -> str:
    return entry.partition("==")[0]


def _write(name: str, entries: list[str]) -> None:
    Path(name).write_text("".join(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
