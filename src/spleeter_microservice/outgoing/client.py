"""Requests to addresses that callers gave, made only to where ``addresses`` lets them go."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import httpx

from spleeter_microservice.errors import (
    ForbiddenAddressError,
    ResponseTooLargeError,
    UnreachableError,
)
from spleeter_microservice.outgoing.url_policy import UrlPolicy

USER_AGENT = "spleeter-microservice"

_MAXIMUM_TRIED = 4  # of a host's addresses
_ANSWER_BYTES = 4096  # of a webhook receiver's answer that are looked at
_WEB = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}


@dataclass(frozen=True)
class ResponseLimits:
    """How long, how much and how far: seconds, bytes, and redirects.

    ``connect`` and ``read`` bound the wait for a connection and for the next bytes, ``total``
    everything together, what is done with the bytes included.
    """

    maximum_bytes: int
    total: float = 600
    connect: float = 5
    read: float = 20
    redirects: int = 3

    @property
    def timeout(self) -> httpx.Timeout:
        """The waits, as the HTTP client wants them."""
        return httpx.Timeout(self.read, connect=self.connect)


class Download:
    """A file that is arriving.

    Attributes:
        url: that it comes from, after redirects.
        content_type: that the server claims; empty when it claims none.
        length: in bytes, that the server announces.
    """

    def __init__(self, response: httpx.Response, bounds: ResponseLimits) -> None:
        length = response.headers.get("Content-Length", "")
        self.url = str(response.url)
        self.content_type: str = response.headers.get("Content-Type", "")
        self.length = int(length) if length.isascii() and length.isdecimal() and len(length) < 20 else None
        self._response = response
        self._maximum_bytes = bounds.maximum_bytes
        if self.length is not None and self.length > self._maximum_bytes:
            raise _too_large(self._maximum_bytes)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the file as it arrives.

        Raises:
            ResponseTooLargeError: as soon as it is larger than allowed.
            UnreachableError: when it breaks off.
        """
        received = 0
        with _translated():
            async for chunk in self._response.aiter_raw():
                received += len(chunk)
                if received > self._maximum_bytes:
                    raise _too_large(self._maximum_bytes)
                yield chunk


@dataclass(frozen=True)
class Answer:
    """What the receiver of a webhook answered.

    Attributes:
        status: HTTP status; 200 to 299 mean that it was taken.
        body: the beginning of the answer's body.
        retry_after: seconds that the receiver wants to be left alone.
    """

    status: int
    body: bytes
    retry_after: float | None = None


class Outgoing:
    """Makes requests to addresses that callers gave.

    Proxies of the environment are not used: a proxy would look names up once more, and
    anything it can reach could be called.

    Args:
        guard: decides what may be called.
        verify: how servers' certificates are checked; by default as browsers do.
    """

    def __init__(self, guard: UrlPolicy, verify: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._verify = verify or httpx.create_ssl_context()

    @contextlib.asynccontextmanager
    async def download(self, url: str, bounds: ResponseLimits) -> AsyncIterator[Download]:
        """Fetch a file; it is read, within the context, by ``Download.chunks``.

        Raises:
            ForbiddenAddressError: when this address, or one it redirects to, is not called.
            ResponseTooLargeError: when the file is too large.
            UnreachableError: when it cannot be had, or not in time.
        """
        limit = asyncio.timeout(bounds.total)
        try:
            async with limit, self._client(bounds.timeout) as client:
                response = await self._follow(client, url, bounds)
                async with contextlib.aclosing(response):
                    yield Download(response, bounds)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise UnreachableError(f"Fetching took longer than {bounds.total:g} s.") from error

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, total: float = 15, connect: float = 5
    ) -> Answer:
        """Send a webhook; redirects are answers, not followed.

        Args:
            url: of the receiver.
            body: that is sent.
            headers: with its type and signature.
            total: seconds for everything.
            connect: seconds for the connection.

        Raises:
            ForbiddenAddressError: when this address is not called.
            UnreachableError: when nobody answers, or not in time.
        """
        checked = self._guard.check(url)
        limit = asyncio.timeout(total)
        try:
            async with limit, self._client(httpx.Timeout(total, connect=connect)) as client:
                with _translated():
                    sending = client.stream("POST", checked, content=body, headers={**_WEB, **headers})
                    async with sending as response:
                        return await _answer(response)
        except TimeoutError as error:
            raise UnreachableError(f"No answer within {total:g} s.") from error

    def _client(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        transport = GuardedTransport(self._guard, self._verify)
        return httpx.AsyncClient(
            transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
        )

    async def _follow(self, client: httpx.AsyncClient, url: str, bounds: ResponseLimits) -> httpx.Response:
        checked = self._guard.check(url)
        for _ in range(bounds.redirects + 1):
            with _translated():
                request = client.build_request("GET", checked, headers=_WEB)
                response = await client.send(request, stream=True)
            if not response.has_redirect_location:
                return await _usable(response)
            await response.aclose()
            checked = self._redirected(response)
            client.cookies.clear()
        raise UnreachableError(f"It redirects more than {bounds.redirects} times. Give the final address.")

    def _redirected(self, response: httpx.Response) -> httpx.URL:
        with _translated():
            target = response.url.join(response.headers["Location"])
        checked = self._guard.check(str(target))
        if response.url.scheme == "https" and checked.scheme != "https":
            raise ForbiddenAddressError("It redirects from https to http. Give the final address.")
        return checked


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connects to the addresses that were checked, whatever the host's name means afterwards.

    The name is looked up once per connection. The connection then goes to the number, while
    the Host header, the TLS server name and the certificate's check keep the name.

    Args:
        guard: decides what may be called.
        verify: how servers' certificates are checked.
    """

    def __init__(self, guard: UrlPolicy, verify: ssl.SSLContext) -> None:
        self._guard = guard
        # A connection kept open would be found again by its number, under another name.
        unshared = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=unshared)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first of the host's addresses that takes the connection."""
        failure: httpx.TransportError | None = None
        for address in (await self._guard.find(request.url))[:_MAXIMUM_TRIED]:
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # the guard never gives an empty list
        raise failure

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


async def _usable(response: httpx.Response) -> httpx.Response:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if response.status_code == httpx.codes.OK and encoding == "identity":
        return response
    await response.aclose()
    if response.status_code != httpx.codes.OK:
        raise UnreachableError(
            f"The server answered {response.status_code}. Check the address.", response.status_code
        )
    raise UnreachableError("The server answered compressed though asked not to.", response.status_code)


async def _answer(response: httpx.Response) -> Answer:
    body = b""
    async for chunk in response.aiter_raw(_ANSWER_BYTES):
        body = chunk
        break
    wait = response.headers.get("Retry-After", "")
    seconds = float(wait) if wait.isascii() and wait.isdecimal() and len(wait) < 10 else None
    return Answer(response.status_code, body, seconds)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Make errors of the HTTP client those of this module."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise UnreachableError("The server does not answer in time. Try again later.") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise UnreachableError(f"The server cannot be reached, or broke off: {error}.") from error


def _too_large(maximum_bytes: int) -> ResponseTooLargeError:
    return ResponseTooLargeError(
        f"The file has more than {maximum_bytes} bytes, which is the limit. Give a smaller one."
    )
