"""Outcomes of jobs, counted in the metrics and recorded in the audit log."""

from __future__ import annotations

import asyncio
import logging

from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import Action, AuditEvent
from spleeter_microservice.errors import AuditUnwritableError
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.observability.metrics import FILES_PROCESSED, REALTIME_FACTOR, SEPARATION_SECONDS
from spleeter_microservice.worker.attempt import Outcome

logger = logging.getLogger(__name__)

_TRIES, _PAUSE_SECONDS = 60, 1.0  # a database that restarts is back by then
_FINAL = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED)


class OutcomeRecorder:
    """A recorder of outcomes: attempts in the metrics, jobs in the audit log.

    Args:
        audit: the audit log.
        pause: seconds between attempts to write it.
    """

    def __init__(self, audit: AuditLog, pause: float = _PAUSE_SECONDS) -> None:
        self._audit = audit
        self._pause = pause

    async def record(self, job: Job, outcome: Outcome, seconds: float) -> None:
        """Record the outcome of an attempt; if the audit log stays unwritable, that is only logged."""
        model = job.result_version.partition(":")[0] or f"{job.options.stems}stems"
        FILES_PROCESSED.labels(model, outcome.value).inc()
        if outcome is Outcome.SUCCEEDED:
            SEPARATION_SECONDS.labels(model).observe(seconds)
            REALTIME_FACTOR.labels(model).observe(job.audio_seconds / max(seconds, 1e-3))
        if outcome in _FINAL:
            await self._audit_patiently(_event(job, outcome, seconds))

    async def _audit_patiently(self, event: AuditEvent) -> None:
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(self._pause)
            try:
                await self._audit.record(event)
            except AuditUnwritableError as error:
                failure = error
            else:
                return
        logger.error("cannot record the outcome of a job", extra={"job_id": event.job}, exc_info=failure)

    async def record_expiry(self, job: Job) -> None:
        """Record that a job has expired.

        Raises:
            AuditUnwritableError: if the audit log cannot be written; the job must then stay.
        """
        await self._audit.record(
            AuditEvent(Action.JOB_EXPIRED, tenant=job.tenant, job=str(job.id), request=job.request_id or "")
        )


def _event(job: Job, outcome: Outcome, seconds: float) -> AuditEvent:
    return AuditEvent(
        Action.JOB_FINISHED,
        "failed" if outcome is Outcome.FAILED else "succeeded",
        tenant=job.tenant,
        job=str(job.id),
        request=job.request_id or "",
        details={"ending": outcome.value, "attempt": job.attempts, "seconds": round(seconds, 3)},
    )
