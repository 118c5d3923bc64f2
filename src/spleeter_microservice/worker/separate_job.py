"""Does jobs: from the object store through a slot to the object store."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from spleeter_microservice.errors import JobStoppedError, SongTooLongError, StorageUnavailableError
from spleeter_microservice.jobs.job import Job, Result, StoredStem
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.sandbox.inference import InferenceSlot
from spleeter_microservice.sandbox.messages import (
    InferenceModel,
    SeparatedStem,
    Separation,
    SeparationRequest,
)
from spleeter_microservice.storage.objects import content_type
from spleeter_microservice.storage.store import Storage
from spleeter_microservice.worker.inventory import Inventory
from spleeter_microservice.worker.work_folder import empty

logger = logging.getLogger(__name__)

T = TypeVar("T")
Report = Callable[[float], None]

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_FETCHED, _SEPARATED = 0.02, 0.95  # of the whole, as progress shows it
_OVERRUN = 1.0  # seconds; encoders add some silence
_PAUSES = (1.0, 2.0, 4.0)  # seconds; the last one is repeated


@dataclass(frozen=True)
class JobLimits:
    """How much a job may take; times in seconds, sizes in bytes.

    Attributes:
        seconds: for separating.
        audio_seconds: of the song, or of the part asked for.
        file_size: of the input, and of a stem.
        storage_timeout: how long the object store may be away.
    """

    seconds: float = 3600.0
    audio_seconds: float = 3600.0
    file_size: int = 8 << 30
    storage_timeout: float = 120.0


class JobSeparator:
    """Separates each job in a slot of its own; see ``attempt.Separate``.

    Args:
        storage: where inputs are and stems go.
        inventory: of the models.
        slots: open; as many jobs are done at a time.
        limits: on each job.
    """

    def __init__(
        self,
        storage: Storage,
        inventory: Inventory,
        slots: Sequence[InferenceSlot],
        limits: JobLimits | None = None,
    ) -> None:
        self.limits = limits or JobLimits()
        self._storage = storage
        self._inventory = inventory
        self._free: asyncio.Queue[InferenceSlot] = asyncio.Queue()
        for slot in slots:
            self._free.put_nowait(slot)

    async def __call__(self, job: Job, report_progress: Report, cancelled: asyncio.Event) -> Result:
        """Separate a job, or stop as soon as it is cancelled."""
        slot = await self._free.get()
        try:
            return await _unless(cancelled, self._separate(slot, job, report_progress))
        finally:
            empty(slot.work_folder)
            self._free.put_nowait(slot)

    async def _separate(self, slot: InferenceSlot, job: Job, report: Report) -> Result:
        model, inference = await asyncio.to_thread(self._find, job)
        source = slot.work_folder / f"input{_suffix(job.input_name)}"
        await self._patiently(lambda: self._storage.get_file(job.input_key, source))
        report(_FETCHED)
        request = self._request(slot, job, source, inference)
        start = time.monotonic()
        separation = await slot.separate(request, _reporting(report, job.audio_seconds))
        seconds = time.monotonic() - start
        self._check_duration(separation.duration)
        stems = tuple([await self._store(job, name, stem) for name, stem in separation.stems.items()])
        report(1.0)
        return Result(
            stems=stems,
            model=model.name,
            quality=_quality(separation),
            details=_details(model, inference, separation, seconds) | {"version": self._inventory.version},
        )

    def _find(self, job: Job) -> tuple[RegisteredModel, InferenceModel]:
        options = job.options
        model = self._inventory.choose(job.result_version, options.stems, options.bandwidth)
        return model, self._inventory.load(model.name)

    def _request(
        self, slot: InferenceSlot, job: Job, source: Path, inference: InferenceModel
    ) -> SeparationRequest:
        options = job.options
        names = inference.architecture.stems
        wanted = [name for name in names if not options.only or name in options.only]
        return SeparationRequest(
            source=source,
            paths={name: slot.work_folder / f"{name}.{options.codec}" for name in wanted},
            codec=options.codec,
            bitrate=options.bitrate,
            offset=options.offset,
            duration=min(options.duration or math.inf, self.limits.audio_seconds + _OVERRUN),
            mwf=options.mwf,
            bandwidth="full" if options.bandwidth == "full" else "official",
            time_limit=self.limits.seconds,
            name=job.input_name or "The file",
            model=inference,
        )

    def _check_duration(self, separated: float) -> None:
        """See that a song is no longer than allowed: headers, which were looked into, may say anything."""
        if separated > self.limits.audio_seconds + _OVERRUN / 2:
            raise SongTooLongError(
                f"The song is longer than it announces, and than the {self.limits.audio_seconds:g} s that "
                "are allowed. Send it in parts, or ask for a part of it (offset, duration)."
            )

    async def _store(self, job: Job, name: str, stem: SeparatedStem) -> StoredStem:
        key = f"{job.prefix}/stems/{name}.{job.options.codec}"
        written = await self._patiently(
            lambda: self._storage.put_file(stem.path, key, max_bytes=self.limits.file_size)
        )
        peaks = peaks_document(stem)
        await self._patiently(
            lambda: self._storage.put(f"{job.prefix}/peaks/{name}.json", _chunks(peaks), max_bytes=len(peaks))
        )
        return StoredStem(name, key, written.size, written.sha256, content_type(key), written.crc32)

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do something with the object store, as soon as it is there."""
        deadline = time.monotonic() + self.limits.storage_timeout
        for attempt in range(1_000_000):
            try:
                return await action()
            except StorageUnavailableError as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("waiting for the object store: %s", error)
                await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        raise AssertionError


def peaks_document(stem: SeparatedStem) -> bytes:
    """Write a stem's peaks in the JSON form of audiowaveform."""
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


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _unless(cancelled: asyncio.Event, work: Awaitable[T]) -> T:
    """Work until an event comes, which stops it."""
    working = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(cancelled.wait())
    try:
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise JobStoppedError("The job was stopped on request.")
        return working.result()
    finally:
        stopped.cancel()
        working.cancel()  # without effect when it is done
        await asyncio.wait((working,))


def _suffix(name: str) -> str:
    """Give the ending of a client's file name if it is harmless; decoders tell formats by it."""
    suffix = Path(name).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def _reporting(report: Report, audio_seconds: float) -> Callable[[int, int | None], None]:
    def on_progress(done: int, total: int | None) -> None:
        share = done / (total or max(1.0, audio_seconds * 44100))
        report(_FETCHED + min(1.0, share) * (_SEPARATED - _FETCHED))

    return on_progress


def _quality(separation: Separation) -> dict[str, Any]:
    return {
        "suspect": separation.suspicions,
        "level": separation.quality.level,
        "residual": separation.quality.residual,
        "stems": {
            name: {
                "level": stem.quality.level,
                "peak": stem.quality.peak,
                "clipped_samples": stem.clipped_samples,
                "energy_share": stem.quality.energy_share,
                "correlation": stem.quality.correlation,
                "suspect": stem.quality.suspect,
            }
            for name, stem in separation.stems.items()
        },
    }


def _details(
    model: RegisteredModel, inference: InferenceModel, separation: Separation, seconds: float
) -> dict[str, Any]:
    return {
        "model_quality": model.quality,
        "experimental": model.experimental,
        "seconds": round(seconds, 3),
        "realtime_factor": round(separation.duration / max(seconds, 1e-3), 2),
        "duration": separation.duration,
        "weights_sha256": inference.weights_sha256,
    }
