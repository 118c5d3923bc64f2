"""Opens the kinds of object store that there are: a folder, a cloud's bucket, memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from spleeter_microservice.errors import ConfigurationError, StorageUnavailableError

_REMOTE_SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")
# A store that is away is reported within about 20 s; each request carries at most a block.
_BACKOFF = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2}
_RETRY = {"max_retries": 3, "retry_timeout": timedelta(seconds=15), "backoff": _BACKOFF}
# Clouds are reached by HTTPS unless the operator gives an address with http://, as for a local server.
_CLIENT = {"connect_timeout": "5s", "timeout": "60s", "allow_http": True}
_from_url: Callable[..., ObjectStore] = from_url  # its overloads ask for each cloud's own options


@dataclass(frozen=True)
class Place:
    """Where objects are kept.

    Attributes:
        store: of ``obstore``.
        name: for messages; holds no secret.
        folder: where the objects lie, if that is a local folder.
    """

    store: ObjectStore
    name: str
    folder: Path | None = None


def open_place(url: str, options: Mapping[str, Any] | None = None) -> Place:
    """Open an object store; a folder is made if it is not there.

    Args:
        url: a folder's path, ``file:///…``, ``s3://bucket/prefix``, ``gs://…``, ``az://…``, or
            ``memory:``.
        options: of the cloud's store in ``obstore``, in place of the environment's.

    Raises:
        ConfigurationError: when there is no such kind of store, or an option is wrong.
        StorageUnavailableError: when the folder cannot be made.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return Place(MemoryStore(), "memory")
    if scheme in ("", "file"):
        return _open_folder(Path(unquote(urlsplit(url).path) if scheme else url))
    if scheme not in _REMOTE_SCHEMES:
        raise ConfigurationError(
            f"An object store's address cannot begin with {scheme}: use a folder, s3://, gs:// or az:// "
            "(SPLEETER_STORAGE_URL)."
        )
    try:
        store = _from_url(url, config=options or {}, client_options=_CLIENT, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"The object store cannot be opened as configured: {reason}") from error
    return Place(store, f"{scheme}://{urlsplit(url).hostname}")


def _open_folder(folder: Path) -> Place:
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailableError(
            f"The folder {folder} of the object store cannot be made: {error.strerror}."
        ) from error
    return Place(LocalStore(folder, automatic_cleanup=True), str(folder), folder)
