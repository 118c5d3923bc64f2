"""What GitHub runs is pinned, has few rights, and is what CI runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(request.param.read_text(encoding="utf-8"))
    return found


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_actions_are_pinned_to_commits(workflow: dict[str, Any]) -> None:
    for step in steps(workflow):
        assert re.search(r"@[0-9a-f]{40}$", step.get("uses", f"none@{'0' * 40}")), step


def test_jobs_may_only_read_and_end_by_themselves(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 30


def test_scripts_that_are_run_exist(workflow: dict[str, Any]) -> None:
    for step in steps(workflow):
        for name in re.findall(r"(?:^|\s)(\.ci/\S+|scripts/\S+)", step.get("run", "")):
            assert (ROOT / name).is_file(), name


def test_pre_commit_runs_what_make_check_runs() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    hooks = repository["hooks"]
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    commands = re.findall(r"^\t(?:\$\(BIN\)/|PYTHON=\S+ )(.+)$", recipe, re.MULTILINE)
    assert len(commands) > 5
    assert {words(hook["entry"].removeprefix(".venv/bin/")) for hook in hooks} == set(map(words, commands))


def words(command: str) -> tuple[str, ...]:
    """Return the words of a command without its flags, and without the folder that it checks."""
    return tuple(word for word in command.split() if not word.startswith("-") and word != ".")
