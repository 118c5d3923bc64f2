"""Objects that the API and the workers have in common."""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

from spleeter_microservice.access import key_format
from spleeter_microservice.audit.log import AuditLog
from spleeter_microservice.errors import ConfigurationError
from spleeter_microservice.settings import Settings
from spleeter_microservice.storage.store import Storage, open_storage
from spleeter_microservice.webhooks.signature import sign

PROGRAM_VERSION = version("spleeter-microservice")


def make_folder(folder: Path) -> Path:
    """Create a folder unless it exists, and return its absolute path.

    Raises:
        ConfigurationError: if it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be created: {error.strerror}. Make it writable, or choose another "
            "with SPLEETER_DATA_DIR."
        ) from error
    return folder.absolute()


def open_object_store(settings: Settings) -> Storage:
    """Open the object store."""
    return open_storage(settings.storage_url or str(settings.data_dir / "objects"))


def audit_path(settings: Settings) -> Path:
    """Return the path of the audit log."""
    return settings.data_dir.absolute() / "audit" / "audit.jsonl"


def open_audit_log(settings: Settings) -> AuditLog:
    """Open the audit log."""
    make_folder(audit_path(settings).parent)
    return AuditLog(audit_path(settings))


def metrics_folder(settings: Settings) -> Path:
    """Return the folder in which the processes of one machine share their metrics."""
    return settings.data_dir.absolute() / "metrics"


def webhook_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the secrets that sign webhooks; none if webhooks are off.

    Raises:
        ConfigurationError: if a secret is malformed.
    """
    text = settings.webhook_secret or ""
    secrets = tuple(part.strip() for part in text.split(",") if part.strip())
    for secret in secrets:
        sign(secret, "check", 0, b"")
    return secrets


def needs_development_key(settings: Settings) -> bool:
    """Return whether to create a development key: in development, without any other authentication."""
    return settings.env == "development" and not settings.api_key and not settings.accepts_tokens


def development_key(settings: Settings) -> str:
    """Return the development key, which is created at the first start and kept in the data folder.

    Raises:
        ConfigurationError: if the key cannot be stored.
    """
    path = make_folder(settings.data_dir) / "development-key"
    try:
        if not path.exists():
            _write_once(path, key_format.generate())
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"The key cannot be stored in {path}: {error.strerror}. Set SPLEETER_API_KEY, or choose another "
            "folder with SPLEETER_DATA_DIR."
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
