"""Sending of the webhooks that are due: each at least once, with retries."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from opentelemetry.trace import Span, SpanKind, StatusCode

from spleeter_microservice import errors
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.audit.record import Action, AuditEvent
from spleeter_microservice.database.connection import Database, Row
from spleeter_microservice.observability.tracing import span
from spleeter_microservice.outgoing.client import Outgoing, WebhookResponse
from spleeter_microservice.webhooks import signature

logger = logging.getLogger(__name__)

_GONE = 410  # the receiver wants no more webhooks


@dataclass(frozen=True)
class SenderOptions:
    """How webhooks are sent.

    Attributes:
        at_once: maximum number of concurrent attempts.
        at_once_per_tenant: maximum number of one tenant's, whose receivers may be slow.
        poll: seconds between checks for webhooks that are due.
        timeout: seconds allowed for an attempt.
        lease: seconds after which an attempt without a recorded outcome counts as failed.
    """

    at_once: int = 8
    at_once_per_tenant: int = 4
    poll: float = 1.0
    timeout: float = 15.0
    lease: float = 60.0


@dataclass(frozen=True)
class _Outcome:
    """The outcome of an attempt; ``wait`` is None after the last one."""

    state: str
    status: int | None = None
    error: str | None = None
    wait: timedelta | None = None


class WebhookSender:
    """A sender of the webhooks in the outbox.

    Args:
        database: an open database.
        outgoing: client for URLs that callers name.
        secrets: secrets that sign the webhooks.
        audit: log that records attempts.
        options: limits and intervals.
    """

    def __init__(
        self,
        database: Database,
        outgoing: Outgoing,
        secrets: Sequence[str],
        audit: AuditLog | None = None,
        options: SenderOptions | None = None,
    ) -> None:
        self.options = options or SenderOptions()
        self._database = database
        self._outgoing = outgoing
        self._secrets = secrets
        self._audit = audit
        self._turns = asyncio.Semaphore(self.options.at_once)
        self._under_way: Counter[str] = Counter()

    async def run(self) -> None:
        """Send until cancelled; the database may become unavailable at any time."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._turns.acquire()
                webhook = await self._claim()
                if webhook is None:
                    self._turns.release()
                    await asyncio.sleep(self.options.poll)
                else:
                    group.create_task(self._deliver(webhook))

    async def _claim(self) -> Row | None:
        limit = self.options.at_once_per_tenant
        busy = [tenant for tenant, attempts in self._under_way.items() if attempts >= limit]
        try:
            webhook = await self._database.first("claim_webhook", lease=self.options.lease, busy=busy)
        except errors.DatabaseUnavailableError:
            return None
        if webhook:
            self._under_way[webhook["tenant"]] += 1
        return webhook

    async def _deliver(self, webhook: Row) -> None:
        """Make one attempt and record its outcome."""
        described = {
            "webhook_id": webhook["id"],
            "job_id": str(webhook["job_id"]),
            "tenant": webhook["tenant"],
            "request_id": webhook["request_id"],
        }
        try:
            with structlog.contextvars.bound_contextvars(**described), _span(webhook) as attempt_span:
                outcome = await self._attempt(webhook)
                attempt_span.set_attribute("spleeter.state", outcome.state)
                if outcome.status is not None:
                    attempt_span.set_attribute("http.response.status_code", outcome.status)
                if outcome.state != "delivered":
                    attempt_span.set_status(StatusCode.ERROR, outcome.state)
                await self._record(webhook, outcome)
        except errors.DatabaseUnavailableError:
            logger.warning("webhook will be sent again: its outcome could not be recorded", extra=described)
        except Exception:  # an unexpected error must not stop the other deliveries
            logger.exception("unexpected error in a webhook", extra=described)
        finally:
            self._under_way[webhook["tenant"]] -= 1
            self._under_way += Counter()  # drops the tenants with none
            self._turns.release()

    async def _attempt(self, webhook: Row) -> _Outcome:
        start = time.monotonic()
        try:
            answer = await self._post(webhook)
        except errors.ForbiddenAddressError as error:
            outcome = _Outcome("failed", error=str(error))
        except errors.UnreachableError as error:
            outcome = _retry(webhook, error.status, str(error))
        else:
            outcome = _outcome_of(webhook, answer)
        logger.info(
            "webhook",
            extra={
                "state": outcome.state,
                "status": outcome.status,
                "attempt": webhook["attempts"],
                "seconds": round(time.monotonic() - start, 3),
                "problem": outcome.error,
            },
        )
        return outcome

    async def _post(self, webhook: Row) -> WebhookResponse:
        body = body_of(webhook["event"])
        headers = signature.headers(self._secrets, webhook["id"], int(time.time()), body)
        headers |= {"Content-Type": "application/json"}
        if webhook["request_id"]:
            headers |= {"X-Request-ID": webhook["request_id"]}
        return await self._outgoing.post(webhook["url"], body, headers, total=self.options.timeout)

    async def _record(self, webhook: Row, outcome: _Outcome) -> None:
        # First, since a sender that ends in between sends the webhook again, and records that too.
        if self._audit:
            try:
                await self._audit.record(_event(webhook, outcome))
            except errors.AuditUnwritableError:
                logger.exception("webhook not recorded in the audit log")
        await self._database.do(
            "note_webhook",
            id=webhook["id"],
            attempts=webhook["attempts"],
            state=outcome.state,
            status=outcome.status,
            error=outcome.error,
            wait=outcome.wait,
        )


def body_of(event: dict[str, Any]) -> bytes:
    """Encode an event, always to the same bytes, because the signature covers them."""
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _span(webhook: Row) -> AbstractContextManager[Span]:
    about = {
        "spleeter.webhook_id": webhook["id"],
        "spleeter.job_id": str(webhook["job_id"]),
        "spleeter.request_id": webhook["request_id"],
        "spleeter.attempt": webhook["attempts"],
    }
    return span("webhook", SpanKind.CLIENT, about, webhook["traceparent"])


def _outcome_of(webhook: Row, answer: WebhookResponse) -> _Outcome:
    if 200 <= answer.status < 300:
        return _Outcome("delivered", answer.status)
    problem = f"The receiver answered {answer.status}."
    if answer.status == _GONE:
        return _Outcome("failed", answer.status, problem)
    return _retry(webhook, answer.status, problem, answer.retry_after)


def _retry(webhook: Row, status: int | None, problem: str, retry_after: float | None = None) -> _Outcome:
    chance = random.random()  # noqa: S311  (spreads waits, protects nothing)
    wait = signature.delay(webhook["attempts"], chance=chance, retry_after=retry_after)
    return _Outcome("pending" if wait else "failed", status, problem, wait)


def _event(webhook: Row, outcome: _Outcome) -> AuditEvent:
    return AuditEvent(
        Action.WEBHOOK_SENT,
        "succeeded" if outcome.state == "delivered" else "failed",
        tenant=webhook["tenant"],
        job=str(webhook["job_id"]),
        request=webhook["request_id"] or "",
        details={"status": outcome.status, "attempt": webhook["attempts"], "state": outcome.state},
    )
