"""What a worker leaves behind about the ends of jobs: numbers for operators, and records for the audit."""

from __future__ import annotations

import logging

from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import Action, AuditEvent
from spleeter_microservice.errors import AuditUnwritableError
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.observability.metrics import FILES_PROCESSED, REALTIME_FACTOR, SEPARATION_SECONDS
from spleeter_microservice.worker.attempt import Outcome

logger = logging.getLogger(__name__)

_FINAL = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED)


class OutcomeRecorder:
    """Counts attempts' ends in the metrics, and records jobs' ends.

    Args:
        audit: where they are recorded.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def note(self, job: Job, ending: Outcome, seconds: float) -> None:
        """Note the end of an attempt; what cannot be recorded has happened all the same."""
        model = job.result_version.partition(":")[0] or f"{job.options.stems}stems"
        FILES_PROCESSED.labels(model, ending.value).inc()
        if ending is Outcome.SUCCEEDED:
            SEPARATION_SECONDS.labels(model).observe(seconds)
            REALTIME_FACTOR.labels(model).observe(job.audio_seconds / max(seconds, 1e-3))
        if ending in _FINAL:
            try:
                self._audit.append(_event(job, ending, seconds))
            except AuditUnwritableError:
                logger.exception("a job's end could not be recorded")


def _event(job: Job, ending: Outcome, seconds: float) -> AuditEvent:
    return AuditEvent(
        Action.JOB_FINISHED,
        "failed" if ending is Outcome.FAILED else "succeeded",
        tenant=job.tenant,
        job=str(job.id),
        request=job.request_id or "",
        details={"ending": ending.value, "attempt": job.attempts, "seconds": round(seconds, 3)},
    )
