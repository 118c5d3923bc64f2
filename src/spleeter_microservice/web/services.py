"""The objects that requests work with; ``bootstrap`` builds the real ones, tests their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request

from spleeter_microservice.access.keys import ApiKeys
from spleeter_microservice.access.rate_limit import RateLimiter
from spleeter_microservice.access.shares import Shares
from spleeter_microservice.access.signed_urls import SignedUrls
from spleeter_microservice.access.tokens import TokenVerifier
from spleeter_microservice.antivirus.scan import Scanner
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.database.connection import Database
from spleeter_microservice.jobs.disk_space import DiskSpace
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.jobs.uploads import ResumableUploads
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.sandbox.prober import Prober
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.storage.store import Storage


@dataclass(frozen=True)
class ApiConfig:
    """Configuration of the API; ``bootstrap`` derives it from the settings.

    Attributes:
        spool: folder for uploads until they are checked and stored.
        models: folder of models, one of which may have come with an example song.
        max_file_bytes: largest upload, in bytes.
        max_duration: longest selection of a song, in seconds.
        allowed_extensions: accepted file extensions, in lower case and without the dot; none accepts all.
        default_retention: time after a job's end until its files are erased.
        max_retention: the longest such time that a request may ask for.
        root_path: path under which a proxy serves the service; empty without one.
        trusted_proxies: addresses and networks of proxies whose forwarding headers are trusted.
        allowed_hosts: accepted values of the ``Host`` header; ``*`` accepts any.
        cors_origins: origins whose pages may call the API from a browser.
        signing_webhooks: whether a webhook secret is set, which ``callback_url`` requires.
        destination_urls: whether stems are sent to pre-signed addresses.
        max_body_bytes: largest body of a request that is not an upload, in bytes.
        body_timeout: longest pause within a request's body, in seconds.
        sync_timeout: longest wait of ``POST /separate`` for its job, in seconds.
    """

    spool: Path
    models: Path
    max_file_bytes: int
    max_duration: float
    allowed_extensions: frozenset[str]
    default_retention: timedelta
    max_retention: timedelta
    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[str, ...]
    signing_webhooks: bool
    destination_urls: bool = False
    root_path: str = ""
    trusted_proxies: tuple[str, ...] = ()
    max_body_bytes: int = 1 << 20
    body_timeout: float = 20.0
    sync_timeout: float = 600.0


@dataclass(frozen=True)
class Services:
    """Everything that a request may need.

    Attributes:
        requests: rate limit of each tenant's requests.
        attempts: rate limit of each client address's failed authentications.
        shares: the shares of this process that tenants hold, and the bounds of all shares.
        outgoing: client that fetches ``source_url``; None while the operator has that off.
        url_policy: policy for the addresses of webhooks and for pre-signed ones.
        buckets: buckets that callers may name.
        signed_urls: signing of addresses at which stems can be downloaded without a key.
        space: space on the disks that new songs need.
    """

    config: ApiConfig
    database: Database
    repository: JobRepository
    retention: Retention
    storage: Storage
    objects: JobObjects
    uploads: ResumableUploads
    keys: ApiKeys
    tokens: TokenVerifier | None
    requests: RateLimiter
    attempts: RateLimiter
    shares: Shares
    scanner: Scanner | None
    audit: AuditLog
    prober: Prober
    workers: WorkerRegistry
    outgoing: Outgoing | None = None
    url_policy: UrlPolicy = field(default_factory=UrlPolicy)
    buckets: Buckets = field(default_factory=Buckets)
    signed_urls: SignedUrls = field(default_factory=SignedUrls)
    space: DiskSpace = field(default_factory=DiskSpace)
    version: str = ""


async def services_of(request: Request) -> Services:
    """Return the services that ``create_app`` received.

    It awaits nothing, but FastAPI would run a plain function in a thread.
    """
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(services_of)]
"""Annotation of a route's parameter that receives the services."""
