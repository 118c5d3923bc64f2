"""Downloads a large file over HTTP, taking up where a broken download ended."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from tqdm import tqdm

from spleeter_microservice.errors import DownloadError

_PROGRESS = 1 << 18  # bytes that count as moving on
_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_UNSATISFIABLE = 416
_ADVICE = (
    "Check the network and the proxy settings and try again (what has arrived is kept), name a mirror with "
    "SPLEETER_MODELS_URL, or get the file by other means: spleeter-microservice models import NAME PATH"
)


@dataclass(frozen=True)
class RetryPolicy:
    """How long to try: number of attempts in a row that bring nothing, and seconds.

    ``connect`` and ``read`` bound the wait for a connection and for the next bytes;
    between attempts the wait doubles from ``pause``, up to ``longest_pause``.
    """

    attempts: int = 4
    connect: float = 15
    read: float = 60
    pause: float = 1
    longest_pause: float = 15

    def pause_after(self, failures: int) -> float:
        """Give the wait before the next attempt."""
        return min(self.pause * 2.0 ** (failures - 1), self.longest_pause)


def download(
    url: str,
    destination: Path,
    *,
    max_bytes: int,
    sha256: str | None = None,
    retry_policy: RetryPolicy = RetryPolicy(),
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Bring the file at an address to a path; proxies and certificates come from the environment.

    Until it is whole it lies in ``{destination}.part``, which outlives this process. Plain
    http is admitted, since what is fetched is verified by a pinned hash. A file that is
    already at ``destination`` is taken as it is.

    Args:
        url: http or https.
        destination: in an existing folder.
        max_bytes: that the file may have.
        sha256: that the file must have, if it is known.
        retry_policy: how often and how long to try.
        sleep: waits between attempts.

    Returns:
        ``destination``.

    Raises:
        DownloadError: saying why it failed and what else can be done.
        OSError: when the file cannot be written.
    """
    if not destination.exists():
        part = _Part(destination, max_bytes)
        _fetch(url, part, retry_policy, sleep)
        part.path.replace(destination)
        part.tag.unlink(missing_ok=True)
    if sha256 is not None:
        _verify(url, destination, sha256)
    return destination


class _Part:
    """The part of a file that has arrived, and the ETag of the version that it is a part of."""

    def __init__(self, destination: Path, max_bytes: int) -> None:
        self.path = destination.with_name(f"{destination.name}.part")
        self.tag = destination.with_name(f"{destination.name}.etag")
        self.max_bytes = max_bytes

    def request_headers(self) -> dict[str, str]:
        """Ask for the rest, or, if the file has changed since, for all of it."""
        headers = {"Accept-Encoding": "identity"}
        if self.size() > 0 and self.tag.exists():
            headers |= {"Range": f"bytes={self.size()}-", "If-Range": self.tag.read_text(encoding="utf-8")}
        return headers

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)

    def start(self, response: httpx.Response) -> int:
        """Prepare for the body of a response; give the number of bytes that it continues from."""
        begin = self.size()
        expected = f"bytes {begin}-"
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            if not response.headers.get("Content-Range", "").startswith(expected):
                self.discard()
                raise httpx.RemoteProtocolError("it sent another range than was asked for")
            return begin
        self.discard()
        tag = response.headers.get("ETag", "")
        if tag.startswith('"') and tag.isascii():  # a weak one does not promise the same bytes
            self.tag.write_text(tag, encoding="utf-8")
        return 0


def _fetch(url: str, part: _Part, retry_policy: RetryPolicy, sleep: Callable[[float], None]) -> None:
    try:
        with _client(retry_policy) as client:
            _attempt_repeatedly(client, url, part, retry_policy, sleep)
    except (httpx.HTTPError, httpx.InvalidURL, _BusyError, _SettingsError) as error:
        problem = str(error).rstrip(".") or type(error).__name__
        raise DownloadError(f"The download of {url} failed: {problem}. {_ADVICE}") from error


def _client(retry_policy: RetryPolicy) -> httpx.Client:
    timeout = httpx.Timeout(retry_policy.read, connect=retry_policy.connect)
    try:
        return httpx.Client(follow_redirects=True, timeout=timeout)
    except (ImportError, ValueError, OSError) as error:
        raise _SettingsError(f"the environment's proxies or certificates cannot be used: {error}") from error


def _attempt_repeatedly(
    client: httpx.Client, url: str, part: _Part, retry_policy: RetryPolicy, sleep: Callable[[float], None]
) -> None:
    failures, reached = 0, part.size()
    while True:
        try:
            return _attempt(client, url, part)
        except httpx.UnsupportedProtocol:
            raise
        except (httpx.TransportError, _BusyError):
            if part.size() >= reached + _PROGRESS:
                failures, reached = 0, part.size()
            failures += 1
            if failures == retry_policy.attempts:
                raise
            sleep(retry_policy.pause_after(failures))


class _SettingsError(Exception):
    """The environment names a proxy or a file of certificates that cannot be used."""


class _BusyError(Exception):
    """The server answered with a status that may pass."""


def _attempt(client: httpx.Client, url: str, part: _Part) -> None:
    with client.stream("GET", url, headers=part.request_headers()) as response:
        status = f"the server answered {response.status_code} {response.reason_phrase}"
        if response.status_code == _UNSATISFIABLE:
            part.discard()
            raise _BusyError(status)
        if response.status_code in _RETRIED:
            raise _BusyError(status)
        if not response.is_success:
            raise DownloadError(f"The download of {url} failed: {status}. {_ADVICE}")
        _receive(response, part)


def _receive(response: httpx.Response, part: _Part) -> None:
    begin = part.start(response)
    length = response.headers.get("Content-Length", "")
    total = begin + int(length) if length.isdecimal() else None
    _bound(response, part, total or 0)
    name = part.path.name.removesuffix(".part")
    with (
        part.path.open("ab") as file,
        # disable=None: no bar unless it goes to a terminal
        tqdm(desc=name, total=total, initial=begin, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for chunk in response.iter_raw():
            file.write(chunk)
            bar.update(len(chunk))
            _bound(response, part, file.tell())


def _bound(response: httpx.Response, part: _Part, size: int) -> None:
    if size > part.max_bytes:
        part.discard()
        raise DownloadError(
            f"The download of {response.url} was given up: it has more than {part.max_bytes} bytes, so it is "
            f"not the model. {_ADVICE}"
        )


def _verify(url: str, path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        raise DownloadError(
            f"What {url} sent has the SHA-256 {found}, expected {sha256}; it was thrown away. {_ADVICE}"
        )
