"""Whether anybody could call the API at all."""

from __future__ import annotations

from spleeter_microservice.bootstrap.database import migrated
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.jobs.database import Database
from spleeter_microservice.jobs.key_table import KeyTable
from spleeter_microservice.settings import Settings


async def require_callers(settings: Settings, url: str) -> None:
    """See that, in production, callers can be told from strangers.

    Args:
        settings: of the process.
        url: of the database, which is waited for where only it can tell.

    Raises:
        ConfigurationError: when no key and no issuer of tokens is configured, and no key was created.
    """
    if settings.env != "production" or settings.api_key or settings.accepts_tokens:
        return
    await migrated(url)
    async with Database(url, connections=1) as database:
        if not await KeyTable(database).list():
            raise ConfigurationError(
                "Nobody may call: with SPLEETER_ENV=production, set SPLEETER_API_KEY or SPLEETER_JWT_ISSUER, "
                "or create a key first: spleeter-microservice keys create"
            )
