"""Downloads of large files over HTTP, which resume after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from tqdm import tqdm

from spleeter_microservice.errors import DownloadError, without_passwords

_PROGRESS = 1 << 18  # bytes that an attempt must bring in order to count as a success
_TRANSIENT = {408, 416, 425, 429, 500, 502, 503, 504}  # 416: the file became shorter; start again
_ADVICE = (
    "Check the network and the proxy settings and try again (what has arrived is kept), set a mirror with "
    "SPLEETER_MODELS_URL, or get the file by other means: spleeter-microservice models import NAME PATH"
)


@dataclass(frozen=True)
class RetryPolicy:
    """When to try again and when to give up.

    Attributes:
        attempts: number of consecutive attempts without progress.
        connect: seconds to wait for a connection.
        read: seconds to wait for the next bytes.
        pause: seconds before the second attempt; they double with each further one.
        longest_pause: maximum of these seconds.
    """

    attempts: int = 4
    connect: float = 15
    read: float = 60
    pause: float = 1
    longest_pause: float = 15

    def pause_after(self, failures: int) -> float:
        """Return the seconds to wait after a number of failed attempts."""
        return min(self.pause * 2.0 ** (failures - 1), self.longest_pause)


def download(
    url: str,
    destination: Path,
    *,
    max_bytes: int,
    retry_policy: RetryPolicy = RetryPolicy(),
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file, with the proxies and certificates of the environment.

    An incomplete file is kept as ``{destination}.part``, and the next call continues it. An existing
    ``destination`` is not downloaded again. Plain http is allowed because callers verify a pinned hash.

    Args:
        url: http or https URL.
        destination: path of the file, in an existing directory.
        max_bytes: maximum size of the file.
        retry_policy: when to try again.
        sleep: waits between attempts.

    Returns:
        ``destination``.

    Raises:
        DownloadError: if the download fails; the message says why and what else can be done.
        OSError: if the file cannot be written.
    """
    if not destination.exists():
        part = _Part(destination, max_bytes)
        try:
            with _client(retry_policy) as client:
                _attempt_repeatedly(client, url, part, retry_policy, sleep)
        except (httpx.HTTPError, httpx.InvalidURL, _FailedError) as error:
            problem = str(error).rstrip(".") or type(error).__name__
            raise DownloadError(
                f"The download of {without_passwords(url)} failed: {problem}. {_ADVICE}"
            ) from error
        part.path.replace(destination)
        part.tag.unlink(missing_ok=True)
    return destination


class _FailedError(Exception):
    """A download failed for a reason that another attempt would not change."""


class _TransientError(_FailedError):
    """The server responded with a status that may change."""


class _Part:
    """The part of a file that has arrived, and the ETag of the version that it belongs to."""

    def __init__(self, destination: Path, max_bytes: int) -> None:
        self.path = destination.with_name(f"{destination.name}.part")
        self.tag = destination.with_name(f"{destination.name}.etag")
        self.max_bytes = max_bytes

    def request_headers(self) -> dict[str, str]:
        """Return headers that request the rest of the file, or all of it if it has changed since."""
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
        """Prepare for the body of a response and return the position in the file at which it begins."""
        begin = self.size()
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {begin}-"):
                self.discard()
                raise httpx.RemoteProtocolError("the server sent another range than requested")
            return begin
        self.discard()
        tag = response.headers.get("ETag", "")
        if tag.startswith('"') and tag.isascii():  # a weak ETag does not promise the same bytes
            self.tag.write_text(tag, encoding="utf-8")
        return 0

    def check_size(self, size: int) -> None:
        if size > self.max_bytes:
            self.discard()
            raise _FailedError(f"it has more than {self.max_bytes} bytes, so it is not the model")


def _client(retry_policy: RetryPolicy) -> httpx.Client:
    timeout = httpx.Timeout(retry_policy.read, connect=retry_policy.connect)
    try:
        return httpx.Client(follow_redirects=True, timeout=timeout)
    except (ImportError, ValueError, OSError) as error:
        raise _FailedError(f"the environment's proxies or certificates cannot be used: {error}") from error


def _attempt_repeatedly(
    client: httpx.Client, url: str, part: _Part, retry_policy: RetryPolicy, sleep: Callable[[float], None]
) -> None:
    failures, reached = 0, part.size()
    while True:
        try:
            return _attempt(client, url, part)
        except httpx.UnsupportedProtocol:
            raise
        except (httpx.TransportError, _TransientError):
            if part.size() >= reached + _PROGRESS:
                failures, reached = 0, part.size()
            failures += 1
            if failures == retry_policy.attempts:
                raise
            sleep(retry_policy.pause_after(failures))


def _attempt(client: httpx.Client, url: str, part: _Part) -> None:
    with client.stream("GET", url, headers=part.request_headers()) as response:
        if response.is_success:
            _receive(response, part)
            return
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.discard()
        failure = _TransientError if response.status_code in _TRANSIENT else _FailedError
        raise failure(f"the server answered {response.status_code} {response.reason_phrase}")


def _receive(response: httpx.Response, part: _Part) -> None:
    begin = part.start(response)
    length = response.headers.get("Content-Length", "")
    total = begin + int(length) if length.isdecimal() else None
    part.check_size(total or 0)
    name = part.path.name.removesuffix(".part")
    with (
        part.path.open("ab") as file,
        # disable=None: show the bar only on a terminal
        tqdm(desc=name, total=total, initial=begin, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for chunk in response.iter_raw():
            file.write(chunk)
            bar.update(len(chunk))
            part.check_size(file.tell())
