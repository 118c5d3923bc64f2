"""The live objects of a worker process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

from spleeter_microservice.access.shares import Share
from spleeter_microservice.bootstrap.database import migrate_when_available
from spleeter_microservice.bootstrap.disk_space import disk_space
from spleeter_microservice.bootstrap.shared import (
    PROGRAM_VERSION,
    make_folder,
    open_audit_log,
    open_object_store,
    url_policy,
)
from spleeter_microservice.bootstrap.shares import bounds_of
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.chores import regularly
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.jobs.object_sweeper import ObjectSweeper
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.jobs.uploads import ResumableUploads
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.models.store import ModelStore
from spleeter_microservice.observability.tracing import configure_tracing
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.sandbox.inference import InferenceSlot, Limits
from spleeter_microservice.sandbox.messages import InferenceModel
from spleeter_microservice.separation.device import available_cores
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.webhooks.sender import WebhookSender
from spleeter_microservice.worker.attempt import Outcome
from spleeter_microservice.worker.delivery import Deliverer
from spleeter_microservice.worker.inventory import Inventory, report_models
from spleeter_microservice.worker.outcomes import OutcomeRecorder
from spleeter_microservice.worker.separate_job import JobLimits, JobSeparator
from spleeter_microservice.worker.work_folder import empty, open_work_folder
from spleeter_microservice.worker.worker import Worker, WorkerOptions

logger = logging.getLogger(__name__)


async def run_worker(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: if a setting is invalid.
        ModelError: if no model is installed and none can be pulled.
        SelfCheckError: if a slot separates the reference clip wrongly.
    """
    url = settings.require_database("a worker")
    configure_tracing(settings.otlp_endpoint, "worker", PROGRAM_VERSION)
    async with AsyncExitStack() as stack:
        work = stack.enter_context(open_work_folder(make_folder(settings.data_dir) / "work"))
        inventory = Inventory(ModelStore(settings.models_dir, mirror=settings.models_url), PROGRAM_VERSION)
        slots = await _open_slots(stack, settings, inventory, work)
        await migrate_when_available(settings, url)
        database = await stack.enter_async_context(
            Database(url, settings.database_direct_url, connections=settings.workers + 4)
        )
        await _run(settings, database, inventory, slots)


async def _open_slots(
    stack: AsyncExitStack, settings: Settings, inventory: Inventory, work: Path
) -> list[InferenceSlot]:
    """Start the slots, and check that each separates the reference clip correctly."""
    model = await asyncio.to_thread(inventory.load_first)
    slots = [_slot(settings, inventory, model, work / str(number)) for number in range(settings.workers)]
    for slot in slots:
        await stack.enter_async_context(slot)
    await asyncio.gather(*map(_self_check, slots))
    return slots


async def _run(
    settings: Settings, database: Database, inventory: Inventory, slots: Sequence[InferenceSlot]
) -> None:
    """Run the worker and its duties; if one of them fails, all of them end."""
    objects, audit = JobObjects(database, open_object_store(settings)), open_audit_log(settings, database)
    outcomes = OutcomeRecorder(audit)
    uploads = ResumableUploads(database, objects, timedelta(hours=settings.retention_hours))
    bounds = {bound.share: bound for bound in bounds_of(settings, objects.storage.folder)}
    limits = JobLimits(
        seconds=settings.job_time_limit_s,
        audio_seconds=settings.max_duration_s,
        stored=bounds[Share.STORED_BYTES],
    )
    putting = Outgoing(url_policy(settings)) if settings.destination_urls else None
    deliverer = Deliverer(Buckets(settings.buckets), putting)
    separation = JobSeparator(objects, inventory, slots, limits, deliverer, previews=settings.previews)
    options = WorkerOptions(slots=settings.workers, grace=settings.grace_s)
    async with asyncio.TaskGroup() as group:

        def observe(job: Job, outcome: Outcome, seconds: float) -> None:
            group.create_task(outcomes.record(job, outcome, seconds))

        retention = Retention(database, objects.erase, outcomes.record_expiry)
        worker = Worker(database, separation, objects.erase, options, observe, retention, separation.recovery)
        duties = [
            group.create_task(report_models(worker, WorkerRegistry(database), inventory)),
            group.create_task(regularly(300.0, ObjectSweeper(database, objects).sweep_if_due)),
            group.create_task(regularly(60.0, partial(uploads.sweep, audit))),
            group.create_task(disk_space(settings, objects=objects.storage.folder).watch()),
        ]
        if settings.webhook_secret:
            sender = WebhookSender(database, Outgoing(url_policy(settings)), settings.webhook_secret, audit)
            duties.append(group.create_task(sender.run()))
        await worker.run_until_signalled()
        for duty in duties:
            duty.cancel()


def _slot(settings: Settings, inventory: Inventory, model: InferenceModel, folder: Path) -> InferenceSlot:
    empty(folder)
    return InferenceSlot(
        model,
        folder,
        models_folder=inventory.store.folder,
        limits=Limits(memory=settings.job_memory_mb << 20),
        cores=max(1, available_cores() // settings.workers),
    )


async def _self_check(slot: InferenceSlot) -> None:
    difference = await slot.self_check()
    logger.info("self-check passed", extra={"difference_db": difference, "pid": slot.pid})
