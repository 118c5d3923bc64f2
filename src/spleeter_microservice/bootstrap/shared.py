"""What the API and the workers have in common."""

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
    """Give a folder for the service alone, made if need be.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be made: {error.strerror}. Make it writable, or choose another "
            "with SPLEETER_DATA_DIR."
        ) from error
    return folder.absolute()


def open_objects(settings: Settings) -> Storage:
    """Open the object store."""
    return open_storage(settings.storage_url or str(settings.data_dir / "objects"))


def audit_path(settings: Settings) -> Path:
    """Give where the audit log lies."""
    return settings.data_dir.absolute() / "audit" / "audit.jsonl"


def open_audit(settings: Settings) -> AuditLog:
    """Open the audit log."""
    make_folder(audit_path(settings).parent)
    return AuditLog(audit_path(settings))


def metrics_folder(settings: Settings) -> Path:
    """Give the folder that processes of one machine share their metrics in."""
    return settings.data_dir.absolute() / "metrics"


def webhook_secrets(settings: Settings) -> tuple[str, ...]:
    """Give the secrets that sign webhooks; none when webhooks are not sent.

    Raises:
        ConfigurationError: when one has another form than it must.
    """
    text = settings.webhook_secret or ""
    secrets = tuple(part.strip() for part in text.split(",") if part.strip())
    for secret in secrets:
        sign(secret, "check", 0, b"")
    return secrets


def generates_key(settings: Settings) -> bool:
    """Tell whether a developer is given a key: where nothing says who may call."""
    return settings.env == "development" and not settings.api_key and not settings.accepts_tokens


def development_key(settings: Settings) -> str:
    """Give the key of the data folder, the same for all processes and starts; made at the first.

    Raises:
        ConfigurationError: when it cannot be kept.
    """
    path = make_folder(settings.data_dir) / "development-key"
    try:
        if not path.exists():
            _write_once(path, key_format.generate())
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"The key cannot be kept in {path}: {error.strerror}. Set SPLEETER_API_KEY, or choose another "
            "folder with SPLEETER_DATA_DIR."
        ) from error


def _write_once(path: Path, text: str) -> None:
    """Write a file for the owner only, whole, unless another process is faster."""
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
