"""The API as tests run it: real PostgreSQL, store, keys and server; the workers are fake."""

from __future__ import annotations

import hashlib
import io
import wave
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from spleeter_microservice.access.keys import ApiKeys
from spleeter_microservice.access.principal import Scope
from spleeter_microservice.access.rate_limit import Rate
from spleeter_microservice.access.shares import Shares
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.bootstrap.api import api_config
from spleeter_microservice.bootstrap.shares import bounds_of
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import (
    EmptyInputError,
    EncryptedInputError,
    ModelNotInstalledError,
    NoAudioStreamError,
    NoSamplesError,
    NotAudioError,
    TruncatedInputError,
)
from spleeter_microservice.jobs.claims import Claim, Claims, Failure
from spleeter_microservice.jobs.job import Job, Preview, Result, StoredStem
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.jobs.uploads import ResumableUploads
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.jobs.worker_registry import WorkerRegistry as RealRegistry
from spleeter_microservice.models.catalogue import CATALOGUE
from spleeter_microservice.sandbox.prober import AudioFacts, Prober
from spleeter_microservice.separation.options import SeparationOptions
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.store import open_storage
from spleeter_microservice.web.server import UVICORN_OPTIONS
from spleeter_microservice.web.services import Services
from tests.support.memory_access import MemoryKeyStore, MemoryRateLimiter

# Structlog's default shows whole tracebacks with all variables, which takes seconds.
structlog.configure(
    processors=[structlog.contextvars.merge_contextvars, structlog.processors.KeyValueRenderer()]
)
ALL = frozenset(Scope)
STEMS = {count: entry.stems for count, entry in CATALOGUE.by_stem_count().items()}


def song(seconds: float = 1.0, *, rate: int = 8000, seed: int = 0) -> bytes:
    """Return the bytes of a WAV file; they depend on the seed."""
    file, frames = io.BytesIO(), int(seconds * rate)
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(rate)
        writer.writeframes((b"%04d" % seed + bytes(range(256)) * (1 + frames // 256))[:frames])
    return file.getvalue()


class WavProber(Prober):
    """A fake prober that knows WAV files, and marks that stand for other kinds of files."""

    MARKS = (
        (b"no sound", NoAudioStreamError),
        (b"encrypted", EncryptedInputError),
    )

    def __init__(self) -> None:  # without processes
        self.probed: list[Path] = []
        self.film: str | None = None

    async def probe(
        self, path: Path, options: SeparationOptions | None = None, tenant: str = ""
    ) -> AudioFacts:
        """Return the facts of a file."""
        self.probed.append(path)
        beginning = path.read_bytes()[:64]
        if not beginning:
            raise EmptyInputError(f"{path} is empty.")
        for mark, error in self.MARKS:
            if beginning.startswith(mark):
                raise error(f"{path} is not taken.")
        try:
            return replace(_facts(path), film=self.film)
        except EOFError as error:
            raise TruncatedInputError(f"{path} ends too early.") from error
        except wave.Error as error:
            raise NotAudioError(f"{path} is not audio.") from error


def _facts(path: Path) -> AudioFacts:
    with wave.open(str(path), "rb") as reader:
        duration = reader.getnframes() / reader.getframerate()
        if not duration:
            raise NoSamplesError(f"{path} has no samples.")
        return AudioFacts("wav", "pcm_u8", duration, reader.getframerate(), reader.getnchannels())


@dataclass
class WorkerRegistry(RealRegistry):
    """Fake models and workers, as a test defines them."""

    models: list[RegisteredModel] = field(
        default_factory=lambda: [
            RegisteredModel("2stems", STEMS[2], True, result_version="2stems@1", licence="MIT"),
            RegisteredModel(
                "4stems-lite", STEMS[4], True, result_version="4stems-lite@1", quality="approximate"
            ),
            RegisteredModel("5stems", STEMS[5], False, licence="MIT"),
        ]
    )
    live: int = 1

    async def list_models(self) -> Sequence[RegisteredModel]:
        """Return the models."""
        return self.models

    async def choose(self, stems: int, bandwidth: str, name: str | None = None) -> RegisteredModel:
        """Return the installed model for a number of stems, or the one with a name."""
        for model in self.models:
            if model.installed and (model.name == name if name else len(model.stems) == stems):
                return model
        raise ModelNotInstalledError(f"No model for {stems} stems is installed in /models.")

    async def ready(self) -> int:
        """Return the number of ready workers."""
        return self.live


def shares(**settings: Any) -> Shares:
    """Return shares within the bounds that some settings make."""
    return Shares(bounds_of(Settings(**settings)))


def build_services(
    database: Database, folder: Path, fleet: WorkerRegistry | None = None, **changes: Any
) -> Services:
    """Return services on a real database, a directory as object store, and fake workers."""
    fleet = fleet or WorkerRegistry()
    (folder / "spool").mkdir(exist_ok=True)
    objects = JobObjects(database, open_storage(str(folder / "objects")))
    services = Services(
        config=api_config(Settings(data_dir=folder, models_dir=folder / "models")),
        database=database,
        repository=JobRepository(database),
        retention=Retention(database, objects.erase),
        storage=objects.storage,
        objects=objects,
        uploads=ResumableUploads(database, objects, timedelta(hours=24)),
        keys=ApiKeys(MemoryKeyStore()),
        tokens=None,
        requests=MemoryRateLimiter(Rate(10_000)),
        attempts=MemoryRateLimiter(Rate(10), kind="attempts"),
        shares=shares(),
        scanner=None,
        audit=AuditLog(database),
        prober=WavProber(),
        workers=fleet,
        version="1.2.3",
    )
    return replace(services, **changes)


@asynccontextmanager
async def served(app: FastAPI, **options: Any) -> AsyncIterator[str]:
    """Serve an application on a free port and yield its URL."""
    config = uvicorn.Config(app, port=0, timeout_graceful_shutdown=1, **{**UVICORN_OPTIONS, **options})
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    assert server.started
    await server.on_tick(0)  # sets the headers of all responses
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        if server.server_state.tasks:
            await server.shutdown()
        else:  # without its pause for requests that still run
            for listener in server.servers:
                listener.close()
            for connection in list(server.server_state.connections):
                connection.shutdown()
            await server.lifespan.shutdown()


class Player:
    """A fake worker that claims jobs and publishes stems.

    Args:
        services: whose database and store it works on.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.claims = Claims(services.database)
        self._worker: int | None = None

    async def claim(self) -> Claim:
        """Claim the next job, which must exist."""
        if self._worker is None:
            self._worker = await self.claims.register("player", 1)
        claim = await self.claims.claim(self._worker)
        assert claim is not None
        return claim

    async def separate(self, content: bytes = b"RIFF stem of ") -> Job:
        """Run the next job: store these bytes as each stem, and publish them."""
        claim = await self.claim()
        await self.publish(claim, content)
        return claim.job

    async def publish(
        self,
        claim: Claim,
        content: bytes = b"RIFF stem of ",
        warnings: Sequence[Mapping[str, Any]] = (),
        preview: Preview | None = None,
    ) -> None:
        """Publish a result of a claimed job."""
        options = claim.job.options
        names = options.outputs(STEMS[options.stems])
        stems = [await self._store(claim.job, name, content + name.encode()) for name in names]
        result = replace(_result(claim.job, tuple(stems)), warnings=warnings)
        assert await self.claims.publish(claim, result, preview)

    async def fail(self, claim: Claim, failure: Failure) -> None:
        """Mark a claimed job failed."""
        assert await self.claims.fail(claim, failure)

    async def _store(self, job: Job, name: str, content: bytes) -> StoredStem:
        key = f"{job.prefix}/stems/{name}.{job.options.codec}"

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        await self._services.storage.put(key, chunks(), max_bytes=len(content))
        return StoredStem(name, key, len(content), hashlib.sha256(content).hexdigest(), "audio/wav")


def _result(job: Job, stems: tuple[StoredStem, ...]) -> Result:
    each = {"level": -20.5, "peak": -1.0, "clipped_samples": 0, "energy_share": 0.5, "correlation": 0.1}
    return Result(
        stems=stems,
        model="2stems",
        quality={
            "suspect": [],
            "level": -18.0,
            "residual": -90.0,
            "stems": {stem.name: each | {"suspect": None, "estimated_quality": "fair"} for stem in stems},
        },
        details={
            "model_quality": "official",
            "experimental": False,
            "seconds": 0.5,
            "realtime_factor": 60.0,
            "duration": job.audio_seconds,
            "weights_sha256": "ab" * 32,
            "version": "1.2.3",
        },
    )
