"""Outcomes are counted in the metrics and recorded in the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import AuditEvent
from spleeter_microservice.errors import AuditUnwritableError
from spleeter_microservice.jobs.job import Job, JobOptions, State
from spleeter_microservice.worker.attempt import Outcome
from spleeter_microservice.worker.outcomes import OutcomeRecorder
from tests.support.job_samples import new_job

pytestmark = pytest.mark.asyncio


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


class Log:
    """A fake audit log that refuses some records before it accepts one."""

    def __init__(self, refusals: int = 0) -> None:
        self.events: list[AuditEvent] = []
        self.refusals = refusals

    async def record(self, event: AuditEvent) -> None:
        if self.refusals:
            self.refusals -= 1
            raise AuditUnwritableError("away")
        self.events.append(event)


async def recorded(log: Log, job: Job, ending: Outcome, seconds: float = 1.0) -> list[AuditEvent]:
    await OutcomeRecorder(cast(AuditLog, log), pause=0).record(job, ending, seconds)
    return log.events


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [(Outcome.SUCCEEDED, "succeeded"), (Outcome.FAILED, "failed"), (Outcome.CANCELLED, "succeeded")],
)
async def test_the_outcome_of_a_job_is_recorded(ending: Outcome, outcome: str) -> None:
    job = stored(tenant="ann", request_id="r-1", attempts=2)
    (event,) = await recorded(Log(), job, ending, 1.23456)
    assert (event.action, event.outcome) == ("job.finished", outcome)
    assert (event.tenant, event.job, event.request) == ("ann", str(job.id), "r-1")
    assert event.details == {"ending": ending.value, "attempt": 2, "seconds": 1.235}


@pytest.mark.parametrize("ending", [Outcome.RETRIED, Outcome.LOST, Outcome.REQUEUED])
async def test_an_attempt_that_does_not_end_the_job_is_not_recorded(ending: Outcome) -> None:
    assert await recorded(Log(), stored(), ending) == []


async def test_the_end_of_a_job_s_retention_is_recorded() -> None:
    job, log = stored(tenant="ann", request_id="r-1"), Log()
    await OutcomeRecorder(cast(AuditLog, log)).record_expiry(job)
    (event,) = log.events
    assert (event.action, event.tenant, event.job) == ("job.expired", "ann", str(job.id))


async def test_an_outcome_waits_for_the_audit_log(caplog: pytest.LogCaptureFixture) -> None:
    assert len(await recorded(Log(refusals=2), stored(), Outcome.SUCCEEDED)) == 1
    assert await recorded(Log(refusals=1000), stored(), Outcome.SUCCEEDED) == []
    assert "cannot record the outcome" in caplog.text
