"""An HTTP client for URLs that callers name, restricted by ``url_policy``."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

import httpx

from spleeter_microservice.errors import (
    ForbiddenAddressError,
    ResponseTooLargeError,
    UnreachableError,
)
from spleeter_microservice.outgoing.url_policy import UrlPolicy

USER_AGENT = "spleeter-microservice"

_CONNECT = 5.0  # seconds for a connection
_STALL = 20.0  # seconds for the next bytes
_MAXIMUM_TRIED = 4  # addresses of a host
_BODY_BYTES = 4096  # maximum part of a webhook response that is read
_WEB = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}


@dataclass(frozen=True)
class ResponseLimits:
    """Limits on a download: bytes, seconds and redirects.

    ``connect`` and ``read`` limit the wait for a connection and for the next bytes; ``total`` limits the
    whole download, including the processing of its bytes.
    """

    maximum_bytes: int
    total: float = 600
    connect: float = _CONNECT
    read: float = _STALL
    redirects: int = 3

    @property
    def timeout(self) -> httpx.Timeout:
        """The timeouts in the HTTP client's form."""
        return httpx.Timeout(self.read, connect=self.connect)


class Download:
    """A download in progress.

    Attributes:
        url: final URL, after redirects.
        disposition: ``Content-Disposition`` of the server, decoded as Latin-1, or empty.
    """

    def __init__(self, response: httpx.Response, limits: ResponseLimits) -> None:
        self.url = str(response.url)
        disposition: str = response.headers.get("Content-Disposition", "")
        self.disposition = disposition.encode(response.headers.encoding).decode("latin-1")
        self._response = response
        self._maximum_bytes = limits.maximum_bytes
        if (_whole(response.headers.get("Content-Length", "")) or 0) > self._maximum_bytes:
            raise _too_large(self._maximum_bytes)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file as it arrives.

        Raises:
            ResponseTooLargeError: if it exceeds the limit.
            UnreachableError: if the connection is lost.
        """
        received = 0
        with _translated():
            async for chunk in self._response.aiter_raw():
                received += len(chunk)
                if received > self._maximum_bytes:
                    raise _too_large(self._maximum_bytes)
                yield chunk


@dataclass(frozen=True)
class WebhookResponse:
    """A receiver's response to a webhook.

    Attributes:
        status: HTTP status; 200 to 299 confirm the delivery.
        body: start of the body.
        retry_after: seconds to wait before the next attempt, as requested by the receiver.
    """

    status: int
    body: bytes
    retry_after: float | None = None


class Outgoing:
    """A client for URLs that callers name.

    Proxies from the environment are not used: a proxy would resolve names again and could reach
    forbidden addresses.

    Args:
        policy: policy that decides which URLs are allowed.
        verify: verification of certificates; by default as in browsers.
    """

    def __init__(self, policy: UrlPolicy, verify: ssl.SSLContext | None = None) -> None:
        self._policy = policy
        self._verify = verify or httpx.create_ssl_context()

    @contextlib.asynccontextmanager
    async def download(self, url: str, limits: ResponseLimits) -> AsyncIterator[Download]:
        """Start to fetch a file; read it with ``Download.chunks`` within the context.

        Raises:
            ForbiddenAddressError: if the URL, or one that it redirects to, is forbidden.
            ResponseTooLargeError: if the file is too large.
            UnreachableError: if it cannot be fetched, or not in time.
        """
        limit = asyncio.timeout(limits.total)
        try:
            async with limit, self._client(limits.timeout) as client:
                response = await self._follow(client, url, limits)
                async with contextlib.aclosing(response):
                    yield Download(response, limits)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise UnreachableError(f"Fetching took longer than {limits.total:g} s.") from error

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, total: float = 15
    ) -> WebhookResponse:
        """Send a webhook; a redirect is returned and not followed.

        Args:
            url: URL of the receiver.
            body: body to send.
            headers: headers with the content type and signature.
            total: seconds for the whole request.

        Raises:
            ForbiddenAddressError: if the URL is forbidden.
            UnreachableError: if the receiver does not respond, or not in time.
        """
        return await self._send("POST", url, body, headers, total)

    async def put(
        self, url: str, chunks: AsyncIterable[bytes], headers: Mapping[str, str], *, total: float
    ) -> None:
        """Write a file to the URL of a server that takes it, such as a pre-signed one; follow no redirect.

        Args:
            url: URL of the file.
            chunks: its bytes.
            headers: headers with the length.
            total: seconds for the whole request.

        Raises:
            ForbiddenAddressError: if the URL is forbidden.
            UnreachableError: if the server does not take the file, or not in time.
        """
        answer = await self._send("PUT", url, chunks, headers, total)
        if not httpx.codes.is_success(answer.status):
            raise UnreachableError(
                f"The server responded with {answer.status}. Check that the URL has been signed for PUT, and "
                "has not expired.",
                answer.status,
            )

    async def _send(
        self,
        method: str,
        url: str,
        body: bytes | AsyncIterable[bytes],
        headers: Mapping[str, str],
        total: float,
    ) -> WebhookResponse:
        checked, timeout = self._policy.check(url), httpx.Timeout(_STALL, connect=_CONNECT)
        try:
            async with asyncio.timeout(total), self._client(timeout) as client:
                with _translated():
                    sending = client.stream(method, checked, content=body, headers={**_WEB, **headers})
                    async with sending as response:
                        return await _read_response(response)
        except TimeoutError as error:
            raise UnreachableError(f"No response within {total:g} s.") from error

    def _client(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        transport = GuardedTransport(self._policy, self._verify)
        return httpx.AsyncClient(
            transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
        )

    async def _follow(self, client: httpx.AsyncClient, url: str, limits: ResponseLimits) -> httpx.Response:
        checked = self._policy.check(url)
        for _ in range(limits.redirects + 1):
            with _translated():
                request = client.build_request("GET", checked, headers=_WEB)
                response = await client.send(request, stream=True)
            if not response.has_redirect_location:
                return await _usable(response)
            await response.aclose()
            checked = self._redirected(response)
            client.cookies.clear()
        raise UnreachableError(f"The URL redirects more than {limits.redirects} times. Use the final URL.")

    def _redirected(self, response: httpx.Response) -> httpx.URL:
        with _translated():
            target = response.url.join(response.headers["Location"])
        checked = self._policy.check(str(target))
        if response.url.scheme == "https" and checked.scheme != "https":
            raise ForbiddenAddressError("The URL redirects from https to http. Use the final URL.")
        return checked


class GuardedTransport(httpx.AsyncBaseTransport):
    """A transport that connects only to addresses that the policy has checked.

    It resolves a name once per connection and connects to the checked address; the Host header, the TLS
    server name and the certificate check keep the name. DNS rebinding therefore has no effect.

    Args:
        policy: policy that decides which addresses are allowed.
        verify: verification of certificates.
    """

    def __init__(self, policy: UrlPolicy, verify: ssl.SSLContext) -> None:
        self._policy = policy
        # A connection kept open would be reused for its address under another name.
        unshared = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=unshared)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first of the host's addresses that accepts the connection."""
        failure: httpx.TransportError | None = None
        for address in (await self._policy.find(request.url))[:_MAXIMUM_TRIED]:
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
        assert failure is not None  # the policy never returns an empty list
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def _usable(response: httpx.Response) -> httpx.Response:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if response.status_code == httpx.codes.OK and encoding == "identity":
        return response
    await response.aclose()
    if response.status_code != httpx.codes.OK:
        raise UnreachableError(
            f"The server responded with {response.status_code}. Check the URL.", response.status_code
        )
    raise UnreachableError(
        "The server sent a compressed response although none was requested.", response.status_code
    )


async def _read_response(response: httpx.Response) -> WebhookResponse:
    body = b""
    async for chunk in response.aiter_raw(_BODY_BYTES):
        body = chunk
        break
    return WebhookResponse(response.status_code, body, _whole(response.headers.get("Retry-After", "")))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Translate errors of the HTTP client."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise UnreachableError("The server did not respond in time. Try again later.") from error
    # The client raises ValueError for some bytes in headers, such as those of cookies.
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
        raise UnreachableError(f"The server cannot be reached, or closed the connection: {error}.") from error


def _too_large(maximum_bytes: int) -> ResponseTooLargeError:
    return ResponseTooLargeError(
        f"The file is larger than the limit of {maximum_bytes} bytes. Use a smaller one."
    )
