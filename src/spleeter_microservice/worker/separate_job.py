"""Separation of jobs: from the object store through a slot back to the object store."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any, TypeVar

from spleeter_microservice import errors
from spleeter_microservice.access.shares import Bound
from spleeter_microservice.files import needing_space
from spleeter_microservice.jobs.job import Job, Result, StoredStem
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.sandbox.messages import InferenceModel, SeparationRequest
from spleeter_microservice.separation.file_names import attachment, stem_name
from spleeter_microservice.separation.result import SeparatedSong, Stem
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.storage.streams import single_chunk
from spleeter_microservice.worker.attempt import LACKS, Report
from spleeter_microservice.worker.delivery import Deliverer
from spleeter_microservice.worker.inventory import Inventory
from spleeter_microservice.worker.preview_upload import PreviewUpload
from spleeter_microservice.worker.work_folder import empty

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FETCHED, _SEPARATED = 0.02, 0.95  # progress when the song is fetched, and when it is separated
_OVERRUN = 1.0  # seconds; encoders of inputs add some silence
_MOST_STALLS = 2  # in a row, before a slot must prove that it works
_MISJUDGED = 2  # times the estimate
_PAUSES = (1.0, 2.0, 4.0)  # seconds; the last one is repeated


@dataclass(frozen=True)
class JobLimits:
    """Limits of a job.

    Attributes:
        seconds: longest time that the separation may take, in seconds.
        audio_seconds: longest duration of the song, or of the part to separate, in seconds.
        file_size: largest size of a stem's file, in bytes.
        storage_timeout: how long to keep the slot while the object store, the database or space on a disk
            is lacking, in seconds; the job then goes back into the queue.
        stored: bound of a tenant's stored bytes, for stems that turn out much larger than expected.
    """

    seconds: float = 3600.0
    audio_seconds: float = 3600.0
    file_size: int = 8 << 30
    storage_timeout: float = 60.0
    stored: Bound | None = None


class JobSeparator:
    """A separator of jobs, each in a slot of its own; see ``attempt.Separate``.

    Args:
        objects: objects of jobs, inputs and stems.
        inventory: models of this machine.
        slots: open slots; this many jobs are separated at a time.
        limits: limits of each job.
        deliverer: writer of stems to destinations.
        previews: whether to make previews.
    """

    def __init__(
        self,
        objects: JobObjects,
        inventory: Inventory,
        slots: Sequence[InferenceSlot],
        limits: JobLimits | None = None,
        deliverer: Deliverer | None = None,
        *,
        previews: bool = True,
    ) -> None:
        self.limits = limits or JobLimits()
        self._objects = objects
        self._deliverer = deliverer or Deliverer(Buckets(), None)
        self._storage = objects.storage
        self._inventory = inventory
        self._previews = previews
        self._free: asyncio.Queue[InferenceSlot] = asyncio.Queue()
        self._stalled: list[InferenceSlot] = []
        for slot in slots:
            self._free.put_nowait(slot)

    async def __call__(self, job: Job, report_progress: Report) -> Result:
        """Separate a job."""
        slot = await self._free.get()
        try:
            return await self._separate(slot, job, report_progress)
        finally:
            empty(slot.work_folder)
            if slot.stalls < _MOST_STALLS:
                self._free.put_nowait(slot)
            else:
                self._stalled.append(slot)

    def recovery(self) -> Awaitable[None] | None:
        """Return what to await if a slot has stalled repeatedly; see ``worker.Recovery``."""
        return self._recover(self._stalled.pop()) if self._stalled else None

    async def _recover(self, slot: InferenceSlot) -> None:
        logger.error("slot stalled repeatedly; it gets no job until it passes the self-check")
        try:
            while True:
                try:
                    await slot.self_check()
                except errors.SpleeterError as error:
                    logger.error("self-check of a stalled slot failed: %s", error)  # noqa: TRY400  (no traceback)
                    await asyncio.sleep(_PAUSES[-1])
                else:
                    break
            logger.info("stalled slot passed the self-check", extra={"pid": slot.pid})
        finally:
            self._free.put_nowait(slot)

    async def _separate(self, slot: InferenceSlot, job: Job, report: Report) -> Result:
        model, inference = await asyncio.to_thread(self._find, job)
        source = slot.work_folder / "input"  # decoders must judge it by its content, not by the client's name
        await self._patiently(lambda: self._fetch(job.input_key, source))
        report(_FETCHED)
        request = self._request(slot, job, source, inference)
        previews = PreviewUpload(job, request, partial(self._store_files, job), partial(report, _FETCHED))
        uploading = asyncio.create_task(previews.run())
        try:
            start = time.monotonic()
            separation = await self._patiently(
                lambda: slot.separate(request, _reporting(report, previews, job.audio_seconds))
            )
            seconds = time.monotonic() - start
            previews.finish(separation.duration)
            self._check_duration(separation.duration)
            await self._patiently(lambda: self._check_size(job, separation))
            stems = tuple([await self._store(job, name, stem) for name, stem in separation.outputs.items()])
            await uploading
        finally:
            uploading.cancel()
            await asyncio.gather(uploading, return_exceptions=True)
        warnings = tuple(asdict(warning) for warning in separation.warnings)
        if warnings:
            logger.warning("separated with warnings", extra={"job_id": str(job.id), "warnings": warnings})
        delivery = await self._deliver(job, separation)
        report(1.0)
        return Result(
            stems=stems,
            model=model.name,
            quality=_measurements(separation),
            details=_details(model, inference, separation, seconds)
            | {"version": self._inventory.version}
            | delivery,
            warnings=warnings,
        )

    async def _fetch(self, key: str, path: Path) -> None:
        with needing_space(f"No space is left in {path.parent} for a song."):
            await self._storage.get_file(key, path)

    def _find(self, job: Job) -> tuple[RegisteredModel, InferenceModel]:
        options = job.options
        model = self._inventory.choose(job.result_version, options.stems, options.bandwidth, options.model)
        return model, self._inventory.load(model.name)

    def _request(
        self, slot: InferenceSlot, job: Job, source: Path, inference: InferenceModel
    ) -> SeparationRequest:
        options = job.options
        wanted = options.outputs(inference.files.stems)
        duration = min(options.duration or math.inf, self.limits.audio_seconds + _OVERRUN)
        return SeparationRequest(
            source=source,
            paths={name: slot.work_folder / f"{name}.{options.codec_of(name).extension}" for name in wanted},
            options=replace(options.separation, duration=duration),
            time_limit=self.limits.seconds,
            name=job.input_name or "The file",
            model=inference,
            previews=self._previews,
        )

    def _check_duration(self, separated: float) -> None:
        """Raise an error if a song turned out longer than allowed, whatever its header promised."""
        if separated > self.limits.audio_seconds + _OVERRUN / 2:
            raise errors.SongTooLongError(
                f"The song is longer than the limit of {self.limits.audio_seconds:g} s, "
                "which its header does not state. Send it in parts, or select a part (offset, duration)."
            )

    async def _check_size(self, job: Job, separation: SeparatedSong) -> None:
        """Refuse stems that are much larger than expected, as of a song whose header states no duration."""
        size = sum(stem.path.stat().st_size for stem in separation.outputs.values())
        if self.limits.stored and 0 < _MISJUDGED * job.expected_bytes < size:  # 0 is an older version's
            await self._objects.check(job.tenant, self.limits.stored)

    async def _store(self, job: Job, name: str, stem: Stem) -> StoredStem:
        codec = job.options.codec_of(name)
        key, peaks_key = f"{job.prefix}/stems/{name}.{codec.extension}", f"{job.prefix}/peaks/{name}.json"
        peaks = peaks_document(stem)
        sizes = {key: stem.path.stat().st_size, peaks_key: len(peaks)}
        await self._patiently(lambda: self._objects.note(job.tenant, job.prefix, sizes))
        kept = {
            "Content-Type": codec.media_type,
            "Content-Disposition": attachment(stem_name(job.input_name, name, key)),
        }
        written = await self._patiently(
            lambda: self._storage.put_file(stem.path, key, max_bytes=self.limits.file_size, attributes=kept)
        )
        await self._patiently(lambda: self._storage.put(peaks_key, single_chunk(peaks), max_bytes=len(peaks)))
        return StoredStem(name, key, written.size, written.sha256, codec.media_type, written.crc32)

    async def _store_files(self, job: Job, files: Mapping[str, Path]) -> None:
        """Store files under keys, all at once."""
        sizes = {key: path.stat().st_size for key, path in files.items()}
        await self._patiently(lambda: self._objects.note(job.tenant, job.prefix, sizes))

        async def store(key: str, path: Path) -> None:
            put = partial(self._storage.put_file, path, key, max_bytes=self.limits.file_size)
            await self._patiently(put)

        await asyncio.gather(*starmap(store, files.items()))

    async def _deliver(self, job: Job, separation: SeparatedSong) -> dict[str, Any]:
        """Write the stems to the job's destination, and return what its details say about that."""
        if job.options.destination_url is None:
            return {}
        files = {name: stem.path for name, stem in separation.outputs.items()}
        error = await self._deliverer.deliver(job, files)
        return {"delivered": error is None} | ({"delivery_error": error} if error else {})

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        """Carry out an action, again and again until what it needs is available or the time is over."""
        deadline = time.monotonic() + self.limits.storage_timeout
        for attempt in range(1_000_000):
            try:
                return await action()
            except LACKS as error:
                if time.monotonic() > deadline:
                    raise
                if not attempt:
                    logger.warning("waiting to go on with a job: %s", error)
                await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        raise AssertionError


def peaks_document(stem: Stem) -> bytes:
    """Return a stem's peaks in audiowaveform's JSON format."""
    document = {
        "version": 1,
        "sample_rate": 44100,
        "samples_per_pixel": stem.samples_per_pixel,
        "bits": 8,
        "length": len(stem.peaks) // 2,
        "channels": 1,
        "data": list(stem.peaks),
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _reporting(
    report: Report, previews: PreviewUpload, audio_seconds: float
) -> Callable[[int, int | None, int], None]:
    def on_progress(done: int, total: int | None, segments: int) -> None:
        previews.made(segments)
        share = done / (total or max(1.0, audio_seconds * 44100))
        report(_FETCHED + min(1.0, share) * (_SEPARATED - _FETCHED))

    return on_progress


def _measurements(separation: SeparatedSong) -> dict[str, Any]:
    """Return what the API presents as ``measurements``; rows keep the names that older versions read."""
    return {
        "suspect": separation.anomalies,
        "level": separation.measurements.level,
        "residual": separation.measurements.residual,
        "expected_residual": separation.measurements.expected_residual,
        "stems": {
            name: _measured(stem)
            | {
                "suspect": stem.measurements.anomaly,
                "estimated_sdr": stem.measurements.estimated_sdr,
                "estimated_quality": stem.measurements.estimated_quality,
            }
            for name, stem in separation.stems.items()
        },
        "mixes": {name: _measured(mix) for name, mix in separation.mixes.items()},
    }


def _measured(output: Stem) -> dict[str, Any]:
    return {
        "level": output.measurements.level,
        "peak": output.measurements.peak,
        "gain": output.gain,
        "clipped_samples": output.clipped_samples,
        "energy_share": output.measurements.energy_share,
        "correlation": output.measurements.correlation,
    }


def _details(
    model: RegisteredModel, inference: InferenceModel, separation: SeparatedSong, seconds: float
) -> dict[str, Any]:
    return {
        "model_quality": model.quality,
        "experimental": model.experimental,
        "seconds": round(seconds, 3),
        "realtime_factor": round(separation.duration / max(seconds, 1e-3), 2),
        "duration": separation.duration,
        "start_time": separation.start_time,
        "track": asdict(separation.track),
        "weights_sha256": inference.weights_sha256,
    }
