"""The policy for URLs that callers name: public addresses, and what the operator allows besides.

Callers name URLs of songs and of webhooks. None may lead into the service's own network (server-side
request forgery), except to targets that the operator listed: not by name, address, unusual spelling or
redirect, nor by a name that resolves to another address a moment later. ``client`` connects only to the
addresses that were checked here.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

import httpx

from spleeter_microservice.errors import ForbiddenAddressError, UnreachableError
from spleeter_microservice.outgoing.inner_targets import Address, InnerTarget

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host; raises ``OSError`` if it has none."""

_MAXIMUM_URL = 4096  # characters; pre-signed ones are long
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
# Forms that the C library reads as an address: 127.1, 0x7f000001, 017700000001, 2130706433.
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.ASCII)

# In addition to ``is_global``, which differs between versions of Python.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host services, on an address that looks public
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata service
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, including Teredo tunnels
        "2001:db8::/32",
        "2002::/16",  # 6to4 tunnels
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")

# Separate threads: a look-up cannot be interrupted, and names that hang on purpose may delay only other
# look-ups.
_LOOKUPS = ThreadPoolExecutor(8, thread_name_prefix="look-up")


async def resolve(host: str, port: int) -> list[str]:
    """Return a host's addresses from this machine's resolver."""
    look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class UrlPolicy:
    """A check of URLs and addresses before they are requested.

    Attributes:
        ports: ports that are allowed at public addresses.
        inner: targets that are allowed although they may not be public.
        resolver: function that resolves host names.
        timeout: seconds for resolving a name.
    """

    ports: frozenset[int] = frozenset({80, 443})
    inner: tuple[InnerTarget, ...] = ()
    resolver: Resolver = resolve
    timeout: float = 5

    def check(self, text: str) -> httpx.URL:
        """Parse a URL and check it as far as possible without resolving its host.

        Returns:
            the URL with its host in lower case and without a final dot.

        Raises:
            ForbiddenAddressError: if it breaks a rule; the message says which.
        """
        url = _parsed(text)
        host = url.raw_host.decode("ascii").lower().removesuffix(".")
        port, literal = _port(url), _literal(host)
        if port not in self.ports | {target.port for target in self.inner if target.may_name(host)}:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise _forbidden(f"port {port} is not allowed, only {allowed}")
        if literal is None:
            _check_name(host)
        elif not self._allows(host, port, literal):
            raise _forbidden("it does not lead to a public address")
        return url.copy_with(host=host, fragment=None)

    async def find(self, url: httpx.URL) -> list[Address]:
        """Return the addresses of a checked URL's host, all of which are allowed.

        Raises:
            ForbiddenAddressError: if one of them is forbidden.
            UnreachableError: if it has none.
        """
        port = _port(url)
        host = url.raw_host.decode("ascii")
        literal = _literal(host)
        found = [literal] if literal is not None else await self._resolved(host, port)
        if not all(self._allows(host, port, address) for address in found):
            raise _forbidden("it does not lead to a public address")
        return found

    def _allows(self, host: str, port: int, address: Address) -> bool:
        """Return whether a port of a host may be reached at one of its addresses."""
        if port in self.ports and is_public(address):
            return True
        return any(
            target.admits(host, address) and (port == target.port if target.port else port in self.ports)
            for target in self.inner
        )

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            async with asyncio.timeout(self.timeout):
                found = [ip_address(text) for text in await self.resolver(host, port)]
        except TimeoutError as error:
            raise UnreachableError(
                f"{host} could not be resolved within {self.timeout:g} s. Try again."
            ) from error
        except (OSError, ValueError) as error:  # UnicodeError, for labels that are too long, is a ValueError
            raise UnreachableError(f"{host} could not be resolved. Check the URL.") from error
        if not found:
            raise UnreachableError(f"{host} has no address. Check the URL.")
        return found


def is_public(address: Address) -> bool:
    """Return whether an address is public.

    An IPv6 address that embeds an IPv4 address is public if the latter is.
    """
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (
        address in _UNICAST_6
        and address.is_global
        and not any(address in network for network in _NOT_PUBLIC_6)
    )


def _parsed(text: str) -> httpx.URL:
    if len(text) > _MAXIMUM_URL or not text.isprintable() or set(text) & set(' \\"<>^`{|}'):
        raise _forbidden(f"it is longer than {_MAXIMUM_URL} characters or contains invalid ones")
    try:
        url = httpx.URL(text)
        host = url.host  # decoded, as it is again for each request
    except (httpx.InvalidURL, ValueError) as error:
        raise _forbidden("it is malformed") from error
    if url.scheme not in _DEFAULT_PORTS or not host:
        raise _forbidden("it must begin with http:// or https:// and a host")
    if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]:
        raise _forbidden("it contains a user name or a password")
    return url


def _port(url: httpx.URL) -> int:
    return _DEFAULT_PORTS[url.scheme] if url.port is None else url.port


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_name(host: str) -> None:
    if _HOST.fullmatch(host) is None:
        raise _forbidden("its host is not a valid name")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise _forbidden("its host is an address in an unusual spelling; write it like 192.0.2.1")


def _forbidden(why: str) -> ForbiddenAddressError:
    return ForbiddenAddressError(f"This URL is not allowed: {why}. Use a public http or https URL.")
