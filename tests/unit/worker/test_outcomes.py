"""Outcomes are counted in the metrics and recorded in the audit log."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.jobs.job import Job, JobOptions, State
from spleeter_microservice.worker.attempt import Outcome
from spleeter_microservice.worker.outcomes import OutcomeRecorder
from tests.support.job_samples import new_job


def stored(**changes: Any) -> Job:
    new = new_job()
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    fields |= {name: value for name, value in vars(new).items() if name in fields}
    fields |= {
        "state": State.RUNNING,
        "options": JobOptions(),
        "attempts": 1,
        "created_at": datetime.now(UTC),
    }
    return Job(**fields | changes)


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [(Outcome.SUCCEEDED, "succeeded"), (Outcome.FAILED, "failed"), (Outcome.CANCELLED, "succeeded")],
)
def test_the_outcome_of_a_job_is_recorded(tmp_path: Path, ending: Outcome, outcome: str) -> None:
    job = stored(tenant="ann", request_id="r-1", attempts=2)
    OutcomeRecorder(AuditLog(tmp_path / "log")).record(job, ending, 1.23456)
    record = json.loads((tmp_path / "log").read_text())
    assert (record["action"], record["outcome"]) == ("job.finished", outcome)
    assert (record["tenant"], record["job"], record["request"]) == ("ann", str(job.id), "r-1")
    assert record["details"] == {"ending": ending.value, "attempt": 2, "seconds": 1.235}


@pytest.mark.parametrize("ending", [Outcome.RETRIED, Outcome.LOST, Outcome.REQUEUED])
def test_an_attempt_that_does_not_end_the_job_is_not_recorded(tmp_path: Path, ending: Outcome) -> None:
    OutcomeRecorder(AuditLog(tmp_path / "log")).record(stored(), ending, 1.0)
    assert not (tmp_path / "log").exists()


@pytest.mark.asyncio
async def test_the_end_of_a_job_s_retention_is_recorded(tmp_path: Path) -> None:
    job = stored(tenant="ann", request_id="r-1")
    await OutcomeRecorder(AuditLog(tmp_path / "log")).record_expiry(job)
    record = json.loads((tmp_path / "log").read_text())
    assert (record["action"], record["tenant"], record["job"]) == ("job.expired", "ann", str(job.id))


def test_an_outcome_that_cannot_be_recorded_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        OutcomeRecorder(AuditLog(tmp_path / "missing" / "log")).record(stored(), Outcome.SUCCEEDED, 1.0)
    assert "cannot record the outcome" in caplog.text
