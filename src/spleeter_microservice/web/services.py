"""The live objects that the API works with; ``bootstrap`` makes them, tests make others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Protocol, cast
from uuid import UUID

from fastapi import Depends, Request

from spleeter_microservice.access.keys import ApiKeys
from spleeter_microservice.access.rate_limit import RateLimiter
from spleeter_microservice.access.tokens import TokenVerifier
from spleeter_microservice.antivirus.scan import Antivirus
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.jobs.worker_registry import RegisteredModel
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.sandbox.prober import AudioFacts
from spleeter_microservice.storage.store import Storage
from spleeter_microservice.webhooks.deliveries import Delivery


class Prober(Protocol):
    """Looks into uploaded files, in a confined process."""

    async def probe(self, path: Path) -> AudioFacts:
        """Tell what a file is.

        Raises:
            InputError: of the kind that says why it cannot be separated.
            InferenceError: when the process that looks cannot do so.
        """


class Models(Protocol):
    """The models of the fleet."""

    async def all(self) -> Sequence[RegisteredModel]:
        """Give the models that are installed, and those that could be."""

    async def choose(self, stems: int, bandwidth: str) -> RegisteredModel:
        """Give the best installed model for a number of stems.

        Raises:
            ModelNotInstalledError: when there is none; it says how to install one.
        """


class Deliveries(Protocol):
    """The webhooks of jobs."""

    async def of_job(self, tenant: str, job: UUID) -> Sequence[Delivery]:
        """Give a job's deliveries; none for an unknown job."""


class Workers(Protocol):
    """The workers of the fleet."""

    async def ready(self) -> int:
        """Tell how many live workers have separated the known clip as they must."""


@dataclass(frozen=True)
class WebOptions:
    """What the operator decided about the API.

    Attributes:
        spool: folder for uploads until they are checked and stored.
        max_file_bytes: of an upload.
        max_duration: of a song, in seconds.
        allowed_extensions: of file names, in lower case and without the dot.
        max_queued: jobs that a tenant may have waiting.
        default_retention, max_retention: how long things are kept after a job's end.
        allowed_hosts: values of ``Host`` that are answered; ``*`` for any.
        cors_origins: that browsers may call from; none by default.
        max_body_bytes: of requests other than uploads.
        body_timeout: seconds that a request's body may pause.
        sync_timeout: seconds that ``POST /separate`` waits.
        production: whether details that help only developers are left out.
        signing_webhooks: whether there is a secret, so that ``callback_url`` is taken.
    """

    spool: Path
    max_file_bytes: int = 500 << 20
    max_duration: float = 3600.0
    allowed_extensions: frozenset[str] = frozenset(
        [
            "wav",
            "mp3",
            "flac",
            "ogg",
            "oga",
            "opus",
            "m4a",
            "aac",
            "mp4",
            "aif",
            "aiff",
            "wma",
            "webm",
            "mkv",
            "mka",
        ]
    )
    max_queued: int = 1000
    default_retention: timedelta = timedelta(hours=24)
    max_retention: timedelta = timedelta(days=7)
    allowed_hosts: tuple[str, ...] = ("*",)
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 1 << 20
    body_timeout: float = 20.0
    sync_timeout: float = 600.0
    production: bool = True
    signing_webhooks: bool = False


@dataclass(frozen=True)
class Services:
    """Everything that a request may need.

    Attributes:
        attempts: counts failed authentication by client address (``limits.client_name``).
        requests: counts requests by tenant.
        outgoing: fetches ``source_url``; None when the operator has not switched that on.
        guard: says which addresses webhooks may have.
    """

    options: WebOptions
    database: Database
    repository: JobRepository
    retention: Retention
    storage: Storage
    keys: ApiKeys
    tokens: TokenVerifier | None
    requests: RateLimiter
    attempts: RateLimiter
    antivirus: Antivirus
    audit: AuditLog
    prober: Prober
    models: Models
    deliveries: Deliveries
    workers: Workers
    outgoing: Outgoing | None = None
    guard: UrlPolicy = field(default_factory=UrlPolicy)
    version: str = field(default="")


async def services_of(request: Request) -> Services:
    """Give the services that ``create_app`` was given.

    It waits for nothing, but FastAPI would call a plain function in another thread.
    """
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]
"""A route's parameter that is given the services."""
