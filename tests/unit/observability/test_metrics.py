"""Logs are JSON lines with the bound context; processes share their metrics."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from spleeter_microservice.observability.metrics import clean_metrics
from tests.support.logs import logged


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    with logged("info") as stream:
        yield stream


def test_structlog_and_standard_loggers_write_one_json_object_per_line(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger("ours").info("request", status=200)
        logging.getLogger("theirs").warning("the pool %s", "is full", extra={"job_id": "j1"})
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert (first["event"], first["status"], first["request_id"], first["logger"]) == (
        *("request", 200, "r1"),
        "ours",
    )
    assert (second["event"], second["job_id"], second["request_id"], second["level"]) == (
        *("the pool is full", "j1", "r1"),
        "warning",
    )
    assert second["time"].endswith("Z")


def test_a_traceback_is_in_the_line_of_its_error(lines: io.StringIO) -> None:
    try:
        int("broken")
    except ValueError:
        logging.getLogger("theirs").exception("failed")
    (line,) = lines.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_events_below_the_level_are_not_written(lines: io.StringIO) -> None:
    structlog.get_logger("ours").debug("detail")
    logging.getLogger("httpx").info("HTTP Request: GET")
    assert lines.getvalue() == ""


def test_metrics_of_an_earlier_run_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    clean_metrics(folder)
    (folder / "counter_1.db").write_bytes(b"")
    (folder / "other").write_bytes(b"")
    clean_metrics(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]
