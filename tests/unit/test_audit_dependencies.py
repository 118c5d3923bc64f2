"""Reports of vulnerability services become an exit status."""

from typing import Any

import pytest

from scripts.audit_dependencies import classify, report

VULNERABILITY = {
    "id": "PYSEC-2026-1",
    "aliases": ["GHSA-aaaa-bbbb-cccc"],
    "fix_versions": ["2.0"],
    "description": "",
}


def answer(*dependencies: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(dependencies), "fixes": []}


SOUND = {"name": "sound", "version": "1.0", "vulns": []}
OPEN = {"name": "open", "version": "1.0", "vulns": [VULNERABILITY]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


def test_an_audit_without_vulnerabilities_succeeds() -> None:
    outcome = classify(answer(SOUND, UNKNOWN), {})
    assert (outcome.audited, outcome.skipped) == (1, 1)
    assert report(outcome, {}) == 0


def test_a_vulnerability_fails_the_audit_and_the_message_names_the_fixed_version(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(classify(answer(SOUND, OPEN), {}), {}) == 1
    assert "open 1.0: PYSEC-2026-1, fixed in 2.0" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "GHSA-aaaa-bbbb-cccc"])
def test_an_exception_matches_any_name_of_a_vulnerability_and_its_reason_is_printed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exceptions = {name: "we do not call it"}
    assert report(classify(answer(OPEN), exceptions), exceptions) == 0
    assert "we do not call it" in capsys.readouterr().out


def test_an_exception_that_is_no_longer_needed_fails_the_audit() -> None:
    exceptions = {"PYSEC-2000-1": "fixed long ago"}
    assert report(classify(answer(SOUND), exceptions), exceptions) == 1
