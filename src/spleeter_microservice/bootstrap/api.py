"""The live objects of an API process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from spleeter_microservice.access.key_table import KeyTable
from spleeter_microservice.access.keys import ApiKeys, parse_configured
from spleeter_microservice.access.rate_limit import Rate, RateLimiter
from spleeter_microservice.access.shares import Shares
from spleeter_microservice.antivirus.scan import Scanner, ScannerPlugin, import_function
from spleeter_microservice.bootstrap import shared
from spleeter_microservice.bootstrap.database import migrate_when_available
from spleeter_microservice.bootstrap.disk_space import disk_space
from spleeter_microservice.bootstrap.shares import bounds_of
from spleeter_microservice.bootstrap.tokens import token_verifier
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.jobs.objects import JobObjects
from spleeter_microservice.jobs.repository import JobRepository
from spleeter_microservice.jobs.retention import Retention
from spleeter_microservice.jobs.uploads import ResumableUploads
from spleeter_microservice.jobs.worker_registry import WorkerRegistry
from spleeter_microservice.outgoing.client import Outgoing
from spleeter_microservice.sandbox.prober import Prober
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.buckets import Buckets
from spleeter_microservice.web.services import ApiConfig, Services

_CONNECTIONS = 16

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_services(settings: Settings, fail: Callable[[Exception], None]) -> AsyncIterator[Services]:
    """Open everything that requests need.

    The database may be unavailable; until it is available, requests that need it fail with 503.

    Args:
        settings: settings of the process.
        fail: called if the database turns out to be unusable later.

    Raises:
        ConfigurationError: if a setting is invalid, or if no caller could authenticate in production.
    """
    async with AsyncExitStack() as stack:
        url = settings.require_database("the API")
        await require_access(settings, url)
        postgres = settings.data_dir / "postgres"
        embedded = postgres if "host=%2F" in url and postgres.is_dir() else None  # on a socket
        database = await stack.enter_async_context(
            Database(
                url,
                settings.database_direct_url,
                connections=_CONNECTIONS,
                disk=embedded,
            )
        )
        await stack.enter_async_context(_migrating(settings, url, fail))
        config = api_config(settings)
        shared.make_folder(config.spool)
        objects = JobObjects(database, shared.open_object_store(settings))
        yield Services(
            config=config,
            database=database,
            repository=JobRepository(database),
            retention=Retention(database, objects.erase),
            storage=objects.storage,
            objects=objects,
            uploads=ResumableUploads(database, objects, config.default_retention),
            keys=_keys(settings, database),
            tokens=token_verifier(settings),
            requests=RateLimiter(database, Rate(settings.requests_per_minute), "requests"),
            attempts=RateLimiter(database, Rate(settings.failed_attempts_per_minute), "attempts"),
            scanner=open_scanner(settings),
            audit=shared.open_audit_log(settings, database),
            prober=await stack.enter_async_context(Prober(config.spool)),
            workers=WorkerRegistry(database),
            outgoing=Outgoing(shared.url_policy(settings)) if settings.source_urls else None,
            url_policy=shared.url_policy(settings),
            buckets=Buckets(settings.buckets),
            signed_urls=shared.signed_urls(settings),
            shares=Shares(bounds_of(settings, objects.storage.folder)),
            space=disk_space(settings, objects=objects.storage.folder, postgres=embedded),
            version=shared.PROGRAM_VERSION,
        )


def open_scanner(settings: Settings) -> Scanner | None:
    """Return the virus scanner, if there is one."""
    if settings.antivirus == "off":
        return None
    if settings.antivirus == "required":
        assert settings.clamd_url  # the settings contradict each other without it
        return settings.clamd_url
    return ScannerPlugin(import_function(settings.antivirus))


def api_config(settings: Settings) -> ApiConfig:
    """Return the configuration of the API."""
    return ApiConfig(
        spool=settings.data_dir.absolute() / "spool",
        models=settings.models_dir,
        max_file_bytes=settings.max_file_size_mb << 20,
        max_duration=settings.max_duration_s,
        allowed_extensions=frozenset(settings.allowed_extensions),
        default_retention=timedelta(hours=settings.retention_hours),
        max_retention=timedelta(hours=settings.max_retention_hours),
        root_path=settings.root_path,
        trusted_proxies=settings.trusted_proxies,
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
        signing_webhooks=bool(settings.webhook_secret),
        destination_urls=settings.destination_urls,
    )


async def require_access(settings: Settings, url: str) -> None:
    """Check that callers can authenticate, which production requires.

    Raises:
        ConfigurationError: if they cannot, because neither a key nor a token issuer is set up.
    """
    if settings.env != "production" or settings.api_key or settings.accepts_tokens:
        return
    await migrate_when_available(settings, url)
    async with Database(url, connections=1, timeout=10.0) as database:
        if not await KeyTable(database).list():
            raise ConfigurationError(
                "SPLEETER_ENV is production, but no caller can authenticate. Set SPLEETER_API_KEY or "
                "SPLEETER_JWT_ISSUER, or create a key: spleeter-microservice keys create"
            )


@asynccontextmanager
async def _migrating(settings: Settings, url: str, fail: Callable[[Exception], None]) -> AsyncIterator[None]:
    """Migrate the database in the background."""

    async def migrate() -> None:
        try:
            await migrate_when_available(settings, url)
        except Exception as error:
            fail(error)

    migrating = asyncio.create_task(migrate())
    try:
        yield
    finally:
        migrating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await migrating


def _keys(settings: Settings, database: Database) -> ApiKeys:
    configured = settings.api_key
    if shared.needs_development_key(settings):
        configured = parse_configured(shared.development_key(settings))
    keys = ApiKeys(KeyTable(database), configured)
    for warning in keys.warnings:
        logger.warning("the configuration is unsafe: %s", warning)
    return keys
