"""The whole service survives kills of its processes: a short form of ``make bench-crash``."""

import asyncio
from pathlib import Path

import pytest

from bench.crashes import Plan, follow
from spleeter_microservice.settings import Settings

pytestmark = pytest.mark.slow

PLAN = Plan(
    clips=12,
    seconds=(1.0, 3.0),
    workers=2,
    interval=1.0,
    kills=4,
    api_kills=1,
    database_stops=1,
    database_away=0.5,
    within=200,
    seed=3,
)


@pytest.mark.timeout(480)
def test_kills_lose_no_separation_and_change_no_stem(
    model_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers, what they start, the API and PostgreSQL end without warning; nothing is left over."""
    monkeypatch.setenv("SPLEETER_MODELS_DIR", str(model_settings.models_dir.absolute()))
    outcome = asyncio.run(follow(PLAN, tmp_path / "run"))
    assert outcome.problems == []
    assert outcome.states == {"succeeded": PLAN.clips}
    assert (outcome.kills["api"], outcome.kills["database"]) == (1, 1)
    assert outcome.kills["worker"] + outcome.kills["child"] > 0
