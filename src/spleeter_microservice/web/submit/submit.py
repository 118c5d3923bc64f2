"""From an upload to a job: received, scanned, probed, stored, created and recorded.

Nothing stays behind: the spooled file is always removed, and so is the stored one unless it belongs to a
job. If that is unknown, because the database became unavailable or this process was killed, the sweeper of
objects decides later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

import structlog
from fastapi import Request

from spleeter_microservice import errors
from spleeter_microservice.access.principal import Principal
from spleeter_microservice.access.shares import Share
from spleeter_microservice.audio.codecs import FILM_BITRATE
from spleeter_microservice.audio.output_format import FilmFormat, OutputFormat
from spleeter_microservice.audit.record import Action
from spleeter_microservice.jobs.job import JobOptions, NewJob, new_job_id
from spleeter_microservice.jobs.repository import Created, Origin
from spleeter_microservice.observability.metrics import ANTIVIRUS_SCANS, UPLOADS_REJECTED
from spleeter_microservice.observability.tracing import traceparent
from spleeter_microservice.sandbox.prober import AudioFacts
from spleeter_microservice.storage.streams import file_blocks
from spleeter_microservice.web.audit import record
from spleeter_microservice.web.disconnection import while_connected
from spleeter_microservice.web.services import Services
from spleeter_microservice.web.submit.options import SubmissionForm, refusing
from spleeter_microservice.web.submit.spool import SpooledFile, spooled
from spleeter_microservice.web.submit.upload import Upload, check_content

_BYTES_PER_SECOND = 16_000  # of recordings that do not state their length: 128 kbit/s
_SAMPLE_RATE = 44100  # of stems, unless chosen otherwise
_PREVIEW_BITS_PER_SECOND = 2 * 96_000  # whole and in segments
_SCAN_RESULTS: dict[type[errors.AntivirusError], str] = {
    errors.InfectedError: "infected",
    errors.ScanLimitError: "beyond-limit",
    errors.ScannerUnavailableError: "unavailable",
}

logger = structlog.get_logger(__name__)


async def submit_song(
    request: Request, services: Services, caller: Principal, idempotency_key: str | None = None
) -> Created:
    """Create a job from a request with a song, or return the one created for the same request before.

    Raises:
        SpleeterError: if the request is refused; the class says why, and it has been counted and recorded.
    """
    try:
        with services.shares.hold(Share.UPLOADS, caller.tenant):
            return await _submit(request, services, caller, idempotency_key)
    except errors.SpleeterError as error:
        await record_refusal(request, error)
        raise


async def _submit(
    request: Request, services: Services, caller: Principal, idempotency_key: str | None
) -> Created:
    config = services.config
    await services.space.checked()
    async with spooled(config.spool, config.max_file_bytes) as file:
        upload = Upload(request, services, file)
        try:
            form = await upload.receive()
        except (errors.UnknownUploadError, errors.UnknownJobError):  # used up by an earlier try, or erased
            if idempotency_key is None or upload.form is None:
                raise
            digest = _body_hash(upload.form, None)
            repeated = await services.repository.find(caller.tenant, idempotency_key, digest)
            if repeated is None:
                raise
            return repeated
        try:
            facts = await while_connected(request, _inspect(services, caller, file, form))
        except errors.InfectedError:
            await _use_up(services, caller, form)
            raise
        check_content(upload.name, facts.format, config)
        new = await _new_job(services, caller, form, upload, facts)
        if idempotency_key is not None:
            new = _keyed(new, idempotency_key, form)
        created = await _create(request, services, file, new)
        await _use_up(services, caller, form)
        return created


async def _use_up(services: Services, caller: Principal, form: SubmissionForm) -> None:
    """Erase the resumable upload that a song came from, if it did."""
    if form.upload is None:
        return
    try:
        await services.uploads.erase(caller.tenant, UUID(form.upload))
    except (errors.RequestError, errors.StorageError, errors.DatabaseUnavailableError):
        logger.warning("cannot erase a used upload; it will expire", upload=form.upload, exc_info=True)


async def _inspect(
    services: Services, caller: Principal, file: SpooledFile, form: SubmissionForm
) -> AudioFacts:
    await _scan(services, caller, file)
    return await services.prober.probe(file.path, form.reading_options(), caller.tenant)


async def _scan(services: Services, caller: Principal, file: SpooledFile) -> None:
    if services.scanner is None:
        ANTIVIRUS_SCANS.labels("skipped").inc()
        return
    try:
        async with services.shares.scans.take(caller.tenant):
            await services.scanner.scan(file_blocks(file.path))
    except errors.AntivirusError as error:
        ANTIVIRUS_SCANS.labels(_SCAN_RESULTS[type(error)]).inc()
        raise
    ANTIVIRUS_SCANS.labels("clean").inc()


async def _new_job(
    services: Services, caller: Principal, form: SubmissionForm, upload: Upload, facts: AudioFacts
) -> NewJob:
    seconds = _seconds(form, facts, upload.file.size, services.config.max_duration)
    model = await services.workers.choose(form.stems, form.bandwidth, form.model)
    options = form.job_options(model)
    with refusing():  # the codec may not have the song's sample rate
        output_format = options.output_format_of(facts.sample_rate, facts.channels)
    if options.video and not facts.film:
        error = errors.NoPicturesError("The file is not a film: it has no pictures.")
        error.fields = {"video": "The file has no pictures. Leave this out, or send a film."}
        raise error
    options = replace(options, container=facts.film or options.container)
    film = FilmFormat(options.container, FILM_BITRATE, channels=output_format.channels)
    stems = set(options.outputs(model.stems)) - options.video.keys()
    job_id = new_job_id()
    prefix = f"separations/{job_id}"
    return NewJob(
        id=job_id,
        tenant=caller.tenant,
        prefix=prefix,
        input_key=f"{prefix}/input",
        input_name=upload.name,
        audio_seconds=seconds,
        expected_bytes=len(stems) * _expected_bytes(output_format, seconds)
        + len(options.video) * (upload.file.size + _expected_bytes(film, seconds)),
        content_hash=upload.file.sha256,
        options=options,
        result_version=model.result_version,
        retention=form.retention(services.config),
        request_id=upload.request.state.request_id,
        traceparent=traceparent(),
    )


def _seconds(form: SubmissionForm, facts: AudioFacts, size: int, limit: float) -> float:
    """Return the seconds of the song to separate, estimated if the file does not state its length."""
    if facts.duration is None:  # the worker learns it, and enforces the limit
        return min(size / _BYTES_PER_SECOND, form.duration or limit, limit)
    left = facts.duration - form.offset
    if left <= 0:
        error = errors.NoSamplesError("The offset is beyond the end of the song.")
        error.fields = {"offset": f"The song is only {facts.duration:.9g} s long."}
        raise error
    seconds: float = left if form.duration is None else min(left, form.duration)
    if seconds > limit:
        raise errors.SongTooLongError(
            f"The selection is {seconds:g} s long; the limit is {limit:g} s. Send the song in parts, or "
            "select a part of it (offset, duration)."
        )
    return seconds


def _expected_bytes(output_format: OutputFormat, seconds: float) -> int:
    """Estimate the size of a stem or a film's sound, with its preview; lossless codecs compress nothing."""
    depth = int((output_format.bit_depth or "16").removesuffix("f"))
    lossless = (output_format.sample_rate or _SAMPLE_RATE) * output_format.channels * depth
    bits = output_format.tracks * (output_format.bits_per_second or lossless)
    return int(seconds * (bits + _PREVIEW_BITS_PER_SECOND) / 8)


def _keyed(new: NewJob, key: str, form: SubmissionForm) -> NewJob:
    """Bind a job to an idempotency key and a hash of the request."""
    # The content behind a URL may change while the request stays the same.
    content = None if form.source_url or form.upload or form.separation else new.content_hash
    return replace(new, idempotency_key=key, body_hash=_body_hash(form, content))


def _body_hash(form: SubmissionForm, content: str | None) -> str:
    body = [form.model_dump(mode="json"), content]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


async def _create(request: Request, services: Services, file: SpooledFile, new: NewJob) -> Created:
    await services.objects.note(new.tenant, new.prefix, {new.input_key: file.size})
    await services.storage.put_file(file.path, new.input_key, max_bytes=file.size)
    try:
        created = await services.repository.create(new, bounds=services.shares.of_service)
    except (errors.IdempotencyConflictError, errors.ShareError):
        await _erase(services, new.prefix)
        raise
    if created.origin is not Origin.NEW:
        await _erase(services, new.prefix)
    if created.origin is not Origin.REPEATED:
        await _record(request, services, created)
    return created


async def _erase(services: Services, prefix: str) -> None:
    try:
        await services.objects.erase(prefix)
    except (errors.StorageError, errors.DatabaseUnavailableError):
        logger.warning("cannot erase an upload; leaving it to the sweeper", prefix=prefix, exc_info=True)


async def _record(request: Request, services: Services, created: Created) -> None:
    """Record a new job; delete it if it cannot be recorded."""
    job = created.job
    action = Action.JOB_CREATED if created.origin is Origin.NEW else Action.JOB_REUSED
    try:
        await record(
            request,
            action,
            job=job.id,
            stems=job.options.stems,
            seconds=job.audio_seconds,
            destination=_destination(job.options),
        )
    except errors.AuditUnwritableError:
        await services.repository.delete(job.tenant, job.id)
        await services.retention.erase(job.id)
        raise


def _destination(options: JobOptions) -> str | None:
    """Return where the stems are written, for the audit log, which drops the queries of addresses."""
    destination = options.destination_url
    return " ".join(destination.values()) if isinstance(destination, Mapping) else destination


async def record_refusal(request: Request, error: errors.SpleeterError) -> None:
    """Count and record that an upload was refused."""
    UPLOADS_REJECTED.labels(error.code).inc()
    if isinstance(error, errors.ShareError | errors.AuditUnwritableError | errors.DatabaseUnavailableError):
        return  # it is like a request beyond its rate, or could not be recorded either
    action, virus = Action.UPLOAD_REFUSED, None
    if isinstance(error, errors.InfectedError):
        action, virus = Action.UPLOAD_INFECTED, error.signature
    await record(request, action, "refused", problem=error.code, virus=virus)
