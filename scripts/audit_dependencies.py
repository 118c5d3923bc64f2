"""Asks whether the pinned requirements have known holes: ``python scripts/audit_dependencies.py``.

Where no service that knows of holes can be asked, it says so and is content. Exceptions stand in
pyproject.toml, in ``[tool.audit-dependencies.exceptions]``: the hole's id and why it does not matter here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
SERVICES = ("pypi", "osv")
SECONDS = 90  # for each service; both are asked only when the first does not answer
UNREACHABLE = ("Connection", "connect", "timed out", "Max retries", "ServiceError", "HTTP error")


@dataclass(frozen=True)
class Outcome:
    """What a service said of the requirements.

    Attributes:
        audited: how many it knows.
        skipped: how many it does not.
        holes: a line for each.
        excepted: ids of the exceptions that were found.
    """

    audited: int
    skipped: int
    holes: tuple[str, ...]
    excepted: frozenset[str]


class NoServiceError(Exception):
    """No service answered; the message says how that showed."""


def main() -> int:
    """Audit, and give an exit status."""
    exceptions = read_exceptions(ROOT / "pyproject.toml")
    for service in SERVICES:
        try:
            outcome = judge(ask(service), exceptions)
        except NoServiceError as error:
            print(f"Dependencies: {service} cannot be asked for known holes ({error}).")
            continue
        if outcome.audited:
            return report(outcome, exceptions)
        print(f"Dependencies: {service} knows none of the {outcome.skipped} packages behind this index.")
    print("Dependencies: NOT AUDITED, for want of a service that can be reached from here.")
    return 0


def read_exceptions(path: Path) -> dict[str, str]:
    """Read the holes that do not matter, with the reasons."""
    tool = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]
    exceptions: dict[str, str] = tool.get("audit-dependencies", {}).get("exceptions", {})
    return exceptions


def ask(service: str) -> dict[str, Any]:
    """Run pip-audit.

    Raises:
        NoServiceError: when the service does not answer.
        SystemExit: when pip-audit cannot do its work for another reason.
    """
    arguments = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--timeout=10"]
    files = [f"--requirement={ROOT / name}" for name in REQUIREMENTS]
    command = [sys.executable, "-m", "pip_audit", "--format=json", f"--vulnerability-service={service}"]
    try:
        done = subprocess.run(  # noqa: S603  (a fixed command)
            [*command, *arguments, *files], capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NoServiceError(f"no answer in {SECONDS} s") from error
    if done.stdout.strip():
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
    if any(word in done.stderr for word in UNREACHABLE):
        raise NoServiceError(last.partition(":")[0])
    raise SystemExit(f"pip-audit: {last}")


def judge(found: Mapping[str, Any], exceptions: Mapping[str, str]) -> Outcome:
    """Sort what pip-audit found."""
    dependencies = found["dependencies"]
    holes, excepted = [], set()
    for dependency in dependencies:
        for hole in dependency.get("vulns", ()):
            names = {hole["id"], *hole.get("aliases", ())}
            if names & exceptions.keys():
                excepted |= names & exceptions.keys()
            else:
                fixed = ", ".join(hole["fix_versions"]) or "no version yet"
                holes.append(f"{dependency['name']} {dependency['version']}: {hole['id']}, fixed in {fixed}")
    skipped = sum("skip_reason" in dependency for dependency in dependencies)
    return Outcome(len(dependencies) - skipped, skipped, tuple(sorted(set(holes))), frozenset(excepted))


def report(outcome: Outcome, exceptions: Mapping[str, str]) -> int:
    """Print an outcome; the status is 1 when there are holes, or exceptions for none."""
    print(f"Dependencies: {outcome.audited} audited, {outcome.skipped} unknown to the service.")
    for name in sorted(outcome.excepted):
        print(f"  left open: {name}: {exceptions[name]}")
    needless = exceptions.keys() - outcome.excepted
    for name in sorted(needless):
        print(f"  {name} is not found any more: remove the exception from pyproject.toml.")
    for line in outcome.holes:
        print(f"  {line}")
    return 1 if outcome.holes or needless else 0


if __name__ == "__main__":
    sys.exit(main())
