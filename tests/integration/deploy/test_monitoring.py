"""The files for Prometheus and Grafana are valid and name only metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from spleeter_microservice.errors import error_classes
from spleeter_microservice.observability import metrics
from tests.support.documents import blocks

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "spleeter-microservice.json"
ALERTS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))[
    "groups"
][0]["rules"]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def exposed() -> set[str]:
    """Return the names in /metrics, with all their suffixes."""
    assert metrics.REQUESTS is not None  # the import registers the metrics
    names: set[str] = set()
    for family in REGISTRY.collect():
        names |= {family.name + suffix for suffix in SUFFIXES.get(family.type, ("",))}
    return {name for name in names if name.startswith("spleeter_")}


def named(text: str) -> set[str]:
    return set(re.findall(r"\bspleeter_\w+", text))


@pytest.fixture(scope="module")
def promtool() -> str:
    return shutil.which("promtool") or pytest.fail("promtool is not installed: make components")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ],
    ids=["configuration", "rules", "tests of the rules"],
)
def test_promtool_accepts_the_files(promtool: str, arguments: list[str]) -> None:
    done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_name_metrics_that_exist() -> None:
    assert named(" ".join(rule["expr"] for rule in ALERTS)) <= exposed()


def test_the_dashboard_names_metrics_that_exist() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert named(" ".join(target["expr"] for panel in panels for target in panel["targets"])) <= exposed()


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))


def test_there_is_a_runbook_for_each_alert() -> None:
    alerts = {rule["alert"] for rule in ALERTS}
    assert set(re.findall(r"^### (Spleeter\w+)", OPERATIONS, re.MULTILINE)) == alerts


def test_runbooks_name_only_existing_error_codes() -> None:
    runbooks = OPERATIONS[OPERATIONS.index("## Runbooks") :]
    named_kinds = set(re.findall(r"`([a-z]+-[a-z]+)`", runbooks)) - {"oom-kill"}
    assert named_kinds <= {kind.code for kind in error_classes()}


def test_runbooks_quote_only_lines_that_are_logged() -> None:
    quoted = set(
        re.findall(r"`((?!docker )[a-z-]+(?: [a-z]+)+)`", OPERATIONS[OPERATIONS.index("## Runbooks") :])
    )
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    assert quoted
    assert [line for line in quoted if line not in sources] == []


def test_the_documented_query_is_one(promtool: str, tmp_path: Path) -> None:
    (block,) = blocks("docs/operations.md", "promql")
    assert set(re.findall(r"spleeter_\w+", block.text)) <= exposed()
    rules = tmp_path / "rules.yml"
    rule = {"record": "spleeter:wait_seconds", "expr": block.text.replace("SLOTS", "1")}
    rules.write_text(yaml.safe_dump({"groups": [{"name": "documents", "rules": [rule]}]}))
    subprocess.run([promtool, "check", "rules", rules], capture_output=True, check=True)


def test_every_alert_fires_in_a_test() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in ALERTS}
