"""Search for inputs that the package's own parsers do not survive, guided by what each input covers.

Inputs that cover something new are kept in ``.fuzz``, and the next run goes on from them.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import time
from pathlib import Path
from typing import Any

import atheris

with (
    contextlib.redirect_stderr(io.StringIO()),  # which lists the modules
    atheris.instrument_imports(include=["spleeter_microservice", "python_multipart"]),
):
    from tests.fuzz.targets import LONGEST, TARGETS

_FOLDER = Path(".fuzz")
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, 1 << 31, 1 << 53, 1 << 64, 10**400, 1e308, float("nan"), float("inf")),
    *("", "\0", "\ud800", "9" * 5000, "../a", [], [[]], ["a"], {}, {"a": "b"}),
)
_LIBFUZZER = (
    "-max_len=65536",
    "-rss_limit_mb=1024",
    f"-timeout={20 * LONGEST:.0f}",  # of the clock, on a machine with other work
    "-print_final_stats=1",
    "-verbosity=0",
)


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Change bytes as libFuzzer does or, in half of the lines of JSON, replace a value with an odd one."""
    chance = random.Random(seed)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    if chance.random() < 0.5 and lines[at][:1] in (b"{", b"["):
        with contextlib.suppress(ValueError, RecursionError):
            lines[at] = json.dumps(_replaced(json.loads(lines[at]), chance)).encode()
            return b"\n".join(lines)[:longest]
    return bytes(atheris.Mutate(data, longest))


def _replaced(value: Any, chance: random.Random) -> Any:
    """Return a JSON value in which one value is another one."""
    if not value or not isinstance(value, dict | list) or chance.random() < 0.2:
        return chance.choice(_ODD_VALUES)
    place = chance.choice([*value] if isinstance(value, dict) else range(len(value)))
    value[place] = _replaced(value[place], chance)
    return value


def survives(name: str, seconds: int) -> bool:
    """Feed one target for some seconds, print the figures, and return whether nothing was found."""
    kept, seeds, found = folders = [_FOLDER / name / kind for kind in ("kept", "seeds", "found")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (seeds / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    begin, log = time.monotonic(), _FOLDER / name / "log"
    # A process for each, since libFuzzer ends the one that it runs in; forked, since it begins at once.
    if not (child := os.fork()):
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        limits = f"-max_total_time={seconds}" if seconds else "-runs=0"
        arguments = [*_LIBFUZZER, limits, f"-artifact_prefix={found}/", str(kept), str(seeds)]
        atheris.Setup(["fuzz", *arguments], TARGETS[name].take, custom_mutator=mutate)
        atheris.Fuzz()
    status = os.waitpid(child, 0)[1]
    text = log.read_text(encoding="utf-8", errors="replace")
    counted = re.search(r"number_of_executed_units: *(\d+)", text)
    took, inputs = time.monotonic() - begin, int(counted[1]) if counted else 0
    print(f"{name:15}{inputs:10} inputs in {took:5.0f} s, {len([*kept.iterdir()]):5} kept", flush=True)
    if status or not counted:
        print(f"{text[-4000:]}\nWhat {name} does not survive is in {found}.", flush=True)
    return not status and counted is not None


def main() -> int:
    """Carry out the run on the command line; return 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument(
        "--seconds", type=int, default=60, help="for each target (default: 60); 0 repeats old inputs"
    )
    options = parser.parse_args()
    if unknown := {*options.targets} - TARGETS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: no such target. Choose from {', '.join(TARGETS)}.")
    survived = [survives(name, options.seconds) for name in options.targets or TARGETS]
    return 0 if all(survived) else 1


if __name__ == "__main__":
    raise SystemExit(main())
