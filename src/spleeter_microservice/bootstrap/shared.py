"""Objects that the API and the workers have in common."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from spleeter_microservice.access import key_format
from spleeter_microservice.access.signed_urls import SignedUrls
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.database.connection import Database
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.files import FULL
from spleeter_microservice.outgoing.url_policy import UrlPolicy
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.store import Storage, open_storage

logger = logging.getLogger(__name__)

PROGRAM_VERSION = version("spleeter-microservice")


def make_folder(folder: Path) -> Path:
    """Create a folder unless it exists, and return its absolute path.

    Raises:
        ConfigurationError: if it cannot be created or written, for another reason than a full disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno in FULL and folder.is_dir():
            return folder.absolute()
        raise ConfigurationError(
            f"The folder {folder} cannot be written: {error.strerror}. Make it writable for user "
            f"{os.geteuid()}, or choose another with SPLEETER_DATA_DIR."
        ) from error
    return folder.absolute()


def make_data_folders(settings: Settings) -> None:
    """Create the folders that the service writes to in the data folder.

    Raises:
        ConfigurationError: if one cannot be created or written.
    """
    for name in ("", "metrics", "spool", "work", *(() if settings.storage_url else ("objects",))):
        make_folder(settings.data_dir / name)


def open_object_store(settings: Settings) -> Storage:
    """Open the object store."""
    return open_storage(settings.storage_url or str(settings.data_dir / "objects"))


def audit_keys(settings: Settings) -> tuple[bytes, ...]:
    """Return the keys that seal the audit log; the one of an embedded database is kept in the data folder."""
    keys = settings.audit_key
    if not keys and not settings.database_url:
        keys = (_kept_secret(settings, "audit-key", secrets.token_hex, "SPLEETER_AUDIT_KEY"),)
    return tuple(key.encode() for key in keys)


def signed_urls(settings: Settings) -> SignedUrls:
    """Return the signing of addresses for downloads; without SPLEETER_SIGNING_KEY, its keys are derived."""
    keys = [key.encode() for key in settings.signing_key]
    keys = keys or [hmac.digest(key, b"signed addresses", "sha256") for key in audit_keys(settings)]
    lifetime = timedelta(seconds=settings.signed_url_s)
    if settings.signed_urls == "off":
        return SignedUrls((), lifetime, by_store=False)
    return SignedUrls(keys, lifetime, by_store=settings.signed_urls == "store")


def open_audit_log(settings: Settings, database: Database) -> AuditLog:
    """Open the audit log."""
    keys = audit_keys(settings)
    if not keys:
        logger.warning("the audit log is not sealed; set SPLEETER_AUDIT_KEY in all processes")
    return AuditLog(database, keys)


def metrics_folder(settings: Settings) -> Path:
    """Return the folder in which the processes of one machine share their metrics."""
    return settings.data_dir.absolute() / "metrics"


def url_policy(settings: Settings) -> UrlPolicy:
    """Return the policy for URLs that callers name."""
    return UrlPolicy(inner=settings.inner_targets)


def needs_development_key(settings: Settings) -> bool:
    """Return whether to create a development key: in development, without any other authentication."""
    return settings.env == "development" and not settings.api_key and not settings.accepts_tokens


def development_key(settings: Settings) -> str:
    """Return the development key, which is created at the first start and kept in the data folder.

    Raises:
        ConfigurationError: if the key cannot be stored.
    """
    return _kept_secret(settings, "development-key", key_format.generate, "SPLEETER_API_KEY")


def _kept_secret(settings: Settings, name: str, generate: Callable[[], str], instead: str) -> str:
    """Return the secret in a file of the data folder, which is created if missing.

    Raises:
        ConfigurationError: if it cannot be stored; the message names the variable to set instead.
    """
    path = make_folder(settings.data_dir) / name
    try:
        if not path.exists():
            _write_once(path, generate())
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"The key cannot be stored in {path}: {error.strerror}. Set {instead}, or choose another folder "
            "with SPLEETER_DATA_DIR."
        ) from error


def _write_once(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only, unless another process has written it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
        path.hardlink_to(new)
    except FileExistsError:
        pass
    finally:
        new.unlink()
