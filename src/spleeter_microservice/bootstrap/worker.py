"""A worker process: its slots, its duties, and what it tells of its jobs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from spleeter_microservice.bootstrap.database import migrated
from spleeter_microservice.bootstrap.shared import (
    PROGRAM_VERSION,
    make_folder,
    open_audit,
    open_objects,
    webhook_secrets,
)
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    StorageUnavailableError,
)
from spleeter_microservice.jobs.job import Job
from spleeter_microservice.jobs.object_sweeper import ObjectSweeper
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.models.provide import open_store
from spleeter_microservice.observability.tracing import configure_tracing
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.sandbox.launcher import Limits
from spleeter_microservice.sandbox.messages import InferenceModel
from spleeter_microservice.separation.device import available_cores
from spleeter_microservice.settings import Settings
from spleeter_microservice.webhooks.sender import WebhookSender
from spleeter_microservice.worker.attempt import Outcome
from spleeter_microservice.worker.inventory import Inventory
from spleeter_microservice.worker.outcomes import OutcomeRecorder
from spleeter_microservice.worker.separate_job import JobLimits, JobSeparator
from spleeter_microservice.worker.work_folder import empty, open_work_folder
from spleeter_microservice.worker.worker import Worker, WorkerOptions

logger = logging.getLogger(__name__)

FIRST_MODEL = "2stems"
"""Pulled when no model is installed: without one there is nothing to do."""
_REPORT_SECONDS = 10.0
_NOTICE_SECONDS = 0.1
_SWEEP_SECONDS = 300.0


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM.

    Raises:
        ConfigurationError: when a setting is wrong.
        ModelError: when there is no model and none can be pulled.
        InferenceError: when the known clip cannot be separated as it must.
    """
    if settings.database_url is None:
        raise ConfigurationError(
            "A worker alone needs a database: set SPLEETER_DATABASE_URL. With the embedded one, start "
            "everything together: spleeter-microservice serve"
        )
    configure_tracing(settings.otlp_endpoint, "worker", PROGRAM_VERSION)
    async with AsyncExitStack() as stack:
        work = stack.enter_context(open_work_folder(make_folder(settings.data_dir) / "work"))
        inventory = Inventory(open_store(settings.models_dir, settings.models_url), PROGRAM_VERSION)
        slots = await _open_slots(stack, settings, inventory, work)
        await migrated(settings.database_url)
        database = await stack.enter_async_context(
            Database(settings.database_url, connections=settings.workers + 4)
        )
        await _work(settings, database, inventory, slots)


async def _open_slots(
    stack: AsyncExitStack, settings: Settings, inventory: Inventory, work: Path
) -> list[InferenceSlot]:
    """Start the slots, and see that each separates the known clip as it must."""
    model = await asyncio.to_thread(first_model, inventory)
    slots = [_slot(settings, inventory, model, work / str(number)) for number in range(settings.workers)]
    for slot in slots:
        await stack.enter_async_context(slot)
    await asyncio.gather(*map(_checked, slots))
    return slots


async def _work(
    settings: Settings, database: Database, inventory: Inventory, slots: Sequence[InferenceSlot]
) -> None:
    """Do jobs, and other things meanwhile; when one of those goes wrong, everything ends."""
    storage, audit = open_objects(settings), open_audit(settings)
    endings = OutcomeRecorder(audit)
    separation = JobSeparator(storage, inventory, slots, _job_limits(settings))
    options = WorkerOptions(slots=settings.workers, grace=settings.grace_s)
    async with asyncio.TaskGroup() as group:

        def observe(job: Job, ending: Outcome, seconds: float) -> None:
            group.create_task(asyncio.to_thread(endings.record, job, ending, seconds))  # waits for the disk

        worker = Worker(database, separation, storage.delete_prefix, options, observe)
        duties = [
            group.create_task(_report_models(worker, WorkerRegistry(database), inventory)),
            group.create_task(_sweep_leftovers(ObjectSweeper(database, storage))),
        ]
        if secrets := webhook_secrets(settings):
            sender = WebhookSender(database, Outgoing(UrlPolicy()), secrets, audit)
            duties.append(group.create_task(sender.run()))
        await worker.run_until_signalled()
        for duty in duties:
            duty.cancel()


def first_model(inventory: Inventory) -> InferenceModel:
    """Give the model that slots hold from the start, pulled if no model is installed.

    Raises:
        ModelError: when there is none, or it is damaged.
    """
    installed = [model.name for model in inventory.models() if model.installed]
    if not installed:
        logger.info("pulling a model", extra={"model": FIRST_MODEL})
        inventory.store.pull(FIRST_MODEL)
        installed = [FIRST_MODEL]
    return inventory.load(FIRST_MODEL if FIRST_MODEL in installed else installed[0])


def _slot(settings: Settings, inventory: Inventory, model: InferenceModel, folder: Path) -> InferenceSlot:
    empty(folder)
    return InferenceSlot(
        model,
        folder,
        models_folder=inventory.store.folder,
        limits=Limits(memory=settings.job_memory_mb << 20),
        cores=max(1, available_cores() // settings.workers),
    )


async def _checked(slot: InferenceSlot) -> None:
    difference = await slot.self_check()
    logger.info("the known clip came out right", extra={"difference_db": difference, "pid": slot.pid})


def _job_limits(settings: Settings) -> JobLimits:
    return JobLimits(seconds=settings.job_time_limit_s, audio_seconds=settings.max_duration_s)


async def _report_models(worker: Worker, fleet: WorkerRegistry, inventory: Inventory) -> None:
    """Tell the fleet which models are here, at once and whenever that has changed."""
    told: object = None
    while True:
        models = await asyncio.to_thread(inventory.models)
        number = worker.number
        if number is not None and told != (number, models):
            try:
                await fleet.report(number, models)
                told = (number, models)
            except DatabaseUnavailableError as error:
                logger.warning("the models cannot be told: %s", error)
        await _until_due(worker, number if told == (number, models) else None)


async def _until_due(worker: Worker, told: int | None) -> None:
    """Wait for the next look, or for a number that the worker's models were not told under."""
    deadline = time.monotonic() + _REPORT_SECONDS
    await asyncio.sleep(_NOTICE_SECONDS)
    while worker.number in (None, told) and time.monotonic() < deadline:
        await asyncio.sleep(_NOTICE_SECONDS)


async def _sweep_leftovers(leftovers: ObjectSweeper) -> None:
    """Sweep now and then."""
    while True:
        try:
            await leftovers.sweep_if_due()
        except (DatabaseUnavailableError, StorageUnavailableError) as error:
            logger.warning("leftovers cannot be swept now: %s", error)
        await asyncio.sleep(_SWEEP_SECONDS)
