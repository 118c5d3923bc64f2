"""Backends of the object store: a directory, a bucket or memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from spleeter_microservice.errors import ConfigurationError, StorageUnavailableError

_REMOTE_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
# An unavailable store is reported within about 20 s; each request carries at most one block.
_BACKOFF = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2}
_RETRY = {"max_retries": 3, "retry_timeout": timedelta(seconds=15), "backoff": _BACKOFF}
# Clouds use HTTPS; plain HTTP is for endpoints that the operator names with http://.
_CLIENT = {"connect_timeout": "5s", "timeout": "60s", "allow_http": True}
# The client deletes even one object with the request for many, which some servers refuse to credentials that
# may delete each object.
_S3 = {"disable_bulk_delete": True}
_from_url: Callable[..., ObjectStore] = from_url  # its overloads demand the options of each cloud


Access = Literal["read", "write", "delete", "list"]

# The rights that each cloud's credentials need. Without the right to list, the service erases only the
# objects that it has noted.
RIGHTS: dict[str, dict[Access, str]] = {
    "s3": {
        "read": "s3:GetObject",
        "write": "s3:PutObject",
        "delete": "s3:DeleteObject",
        "list": "s3:ListBucket",
    },
    "gs": {
        "read": "storage.objects.get",
        "write": "storage.objects.create",
        "delete": "storage.objects.delete",
        "list": "storage.objects.list",
    },
    "az": {
        "read": "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
        "write": "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
        "delete": "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete",
        "list": "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
    },
}


@dataclass(frozen=True)
class Backend:
    """An opened object store.

    Attributes:
        store: store of ``obstore``.
        name: name for messages; contains no secret.
        folder: directory of the objects, if it is a local one.
        rights: what the credentials of a bucket need for each kind of access.
    """

    store: ObjectStore
    name: str
    folder: Path | None = None
    rights: Mapping[Access, str] = field(default_factory=dict)


def open_backend(url: str, options: Mapping[str, Any] | None = None) -> Backend:
    """Open an object store; a missing directory is created.

    Args:
        url: path of a directory, ``file:///…``, ``s3://bucket/prefix``, ``gs://…``, ``az://…``, or
            ``memory:``.
        options: options of the store in ``obstore``, instead of those from the environment.

    Raises:
        ConfigurationError: if the kind of store is unknown, or an option is wrong.
        StorageUnavailableError: if the directory cannot be created.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return Backend(MemoryStore(), "memory")
    if scheme in ("", "file"):
        return _open_folder(Path(unquote(urlsplit(url).path) if scheme else url))
    if scheme not in _REMOTE_SCHEMES:
        raise ConfigurationError(
            f"{scheme}:// is not a supported object store. Set SPLEETER_STORAGE_URL to a directory, or to a "
            "URL that begins with s3://, gs:// or az://."
        )
    cloud = {"s3a": "s3", "s3": "s3", "gs": "gs"}.get(scheme, "az")
    config = (_S3 if cloud == "s3" else {}) | dict(options or {})
    try:
        store = _from_url(url, config=config, client_options=_CLIENT, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"The object store cannot be opened as configured: {reason}") from error
    return Backend(store, f"{scheme}://{urlsplit(url).hostname}", rights=RIGHTS[cloud])


def _open_folder(folder: Path) -> Backend:
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailableError(
            f"The directory {folder} of the object store cannot be created: {error.strerror}."
        ) from error
    return Backend(LocalStore(folder, automatic_cleanup=True), str(folder), folder)
