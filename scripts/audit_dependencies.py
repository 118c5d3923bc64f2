"""Look for known vulnerabilities in the pinned requirements: ``python scripts/audit_dependencies.py``.

If no vulnerability service can be reached, the script says so and succeeds. List exceptions in
pyproject.toml under ``[tool.audit-dependencies.exceptions]``: the id of the vulnerability and why it does not
matter here.
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
SECONDS = 90  # per service; the second is asked only if the first does not answer
UNREACHABLE = ("Connection", "connect", "timed out", "Max retries", "ServiceError", "HTTP error")


@dataclass(frozen=True)
class Outcome:
    """The vulnerabilities that a service reports for the requirements.

    Attributes:
        audited: number of packages that the service knows.
        skipped: number of packages that it does not know.
        vulnerabilities: a line of text for each.
        excepted: ids of the exceptions that were found.
    """

    audited: int
    skipped: int
    vulnerabilities: tuple[str, ...]
    excepted: frozenset[str]


class NoServiceError(Exception):
    """The service did not answer."""


def main() -> int:
    """Audit the requirements and return an exit status."""
    exceptions = read_exceptions(ROOT / "pyproject.toml")
    for service in SERVICES:
        try:
            outcome = classify(ask(service), exceptions)
        except NoServiceError as error:
            print(f"Dependencies: {service} cannot be reached ({error}).")
            continue
        if outcome.audited:
            return report(outcome, exceptions)
        print(f"Dependencies: {service} knows none of the {outcome.skipped} packages of this index.")
    print("Dependencies: NOT AUDITED, because no vulnerability service can be reached.")
    return 0


def read_exceptions(path: Path) -> dict[str, str]:
    """Return the ids of the accepted vulnerabilities, with the reasons."""
    tool = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]
    exceptions: dict[str, str] = tool.get("audit-dependencies", {}).get("exceptions", {})
    return exceptions


def ask(service: str) -> dict[str, Any]:
    """Run pip-audit and return its report.

    Raises:
        NoServiceError: if the service does not answer.
        SystemExit: if pip-audit fails for another reason.
    """
    arguments = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--timeout=10"]
    files = [f"--requirement={ROOT / name}" for name in REQUIREMENTS]
    command = [sys.executable, "-m", "pip_audit", "--format=json", f"--vulnerability-service={service}"]
    try:
        done = subprocess.run(  # noqa: S603  (a fixed command)
            [*command, *arguments, *files], capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NoServiceError(f"no answer within {SECONDS} s") from error
    if done.stdout.strip():
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
    if any(word in done.stderr for word in UNREACHABLE):
        raise NoServiceError(last.partition(":")[0])
    raise SystemExit(f"pip-audit: {last}")


def classify(found: Mapping[str, Any], exceptions: Mapping[str, str]) -> Outcome:
    """Sort the vulnerabilities of a report into exceptions and others."""
    dependencies = found["dependencies"]
    vulnerabilities, excepted = [], set()
    for dependency in dependencies:
        for vulnerability in dependency.get("vulns", ()):
            names = {vulnerability["id"], *vulnerability.get("aliases", ())}
            if names & exceptions.keys():
                excepted |= names & exceptions.keys()
            else:
                package = f"{dependency['name']} {dependency['version']}"
                fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
                vulnerabilities.append(f"{package}: {vulnerability['id']}, fixed in {fixed}")
    skipped = sum("skip_reason" in dependency for dependency in dependencies)
    return Outcome(
        len(dependencies) - skipped, skipped, tuple(sorted(set(vulnerabilities))), frozenset(excepted)
    )


def report(outcome: Outcome, exceptions: Mapping[str, str]) -> int:
    """Print an outcome; return 1 for vulnerabilities, or for exceptions that are no longer needed."""
    print(f"Dependencies: {outcome.audited} audited, {outcome.skipped} unknown to the service.")
    for name in sorted(outcome.excepted):
        print(f"  accepted: {name}: {exceptions[name]}")
    needless = exceptions.keys() - outcome.excepted
    for name in sorted(needless):
        print(f"  {name} is not reported any more. Remove the exception from pyproject.toml.")
    for line in outcome.vulnerabilities:
        print(f"  {line}")
    return 1 if outcome.vulnerabilities or needless else 0


if __name__ == "__main__":
    sys.exit(main())
