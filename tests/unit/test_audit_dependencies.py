"""What is made of the answers of a service that knows of holes in packages."""

from typing import Any

import pytest

from scripts.audit_dependencies import judge, report

HOLE = {"id": "PYSEC-2026-1", "aliases": ["GHSA-aaaa-bbbb-cccc"], "fix_versions": ["2.0"], "description": ""}


def answer(*dependencies: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(dependencies), "fixes": []}


SOUND = {"name": "sound", "version": "1.0", "vulns": []}
OPEN = {"name": "open", "version": "1.0", "vulns": [HOLE]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


def test_without_holes_all_is_well() -> None:
    outcome = judge(answer(SOUND, UNKNOWN), {})
    assert (outcome.audited, outcome.skipped) == (1, 1)
    assert report(outcome, {}) == 0


def test_a_hole_fails_and_the_message_says_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(judge(answer(SOUND, OPEN), {}), {}) == 1
    assert "open 1.0: PYSEC-2026-1, fixed in 2.0" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "GHSA-aaaa-bbbb-cccc"])
def test_an_exception_is_let_through_by_any_of_its_names_with_its_reason(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exceptions = {name: "we do not call it"}
    assert report(judge(answer(OPEN), exceptions), exceptions) == 0
    assert "we do not call it" in capsys.readouterr().out


def test_an_exception_for_nothing_fails() -> None:
    exceptions = {"PYSEC-2000-1": "long mended"}
    assert report(judge(answer(SOUND), exceptions), exceptions) == 1
