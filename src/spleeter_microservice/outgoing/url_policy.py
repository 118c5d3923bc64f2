"""Which addresses this service calls when a caller names one: public ones, and nothing behind us.

Callers give addresses of songs to fetch and of webhooks to call. None may lead into the
network that the service runs in (server-side request forgery): not by name, by number, by an
unusual spelling, by a redirect, or by a name that means another address a moment later.
``outgoing`` connects only to the very addresses that were checked here.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from spleeter_microservice.errors import ForbiddenAddressError, UnreachableError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host's name; raises ``OSError`` when there are none."""

_MAXIMUM_URL = 2048  # characters
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
# What resolvers of the C library take for a number: 127.1, 0x7f000001, 017700000001, 2130706433.
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.ASCII)

# Beyond what ``is_global`` says, which differs between versions of Python.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT, and Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, which looks public
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and Oracle's metadata
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
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
        "2001::/23",  # protocol assignments, among them Teredo's tunnels
        "2001:db8::/32",
        "2002::/16",  # tunnels of 6to4
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")

# Threads of their own: a look-up that hangs cannot be stopped, and names that hang on purpose
# should hold up other look-ups at most.
_LOOKUPS = ThreadPoolExecutor(8, thread_name_prefix="look-up")


async def resolve(host: str, port: int) -> list[str]:
    """Give a host's addresses as this machine's resolver knows them."""
    look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class UrlPolicy:
    """Checks addresses before they are called.

    Attributes:
        ports: that may be called.
        also_allowed: networks that may be called though they are not public, such as that of an
            operator's own file server; tests name loopback here.
        resolver: finds hosts' addresses.
        timeout: seconds for finding them.
    """

    ports: frozenset[int] = frozenset({80, 443})
    also_allowed: tuple[Network, ...] = ()
    resolver: Resolver = resolve
    timeout: float = 5

    def check(self, text: str) -> httpx.URL:
        """Read an address and check what can be told without asking for the host's.

        Returns:
            The address in plain spelling, its host in lower case and without a final dot.

        Raises:
            ForbiddenAddressError: saying which rule it breaks.
        """
        url = _parsed(text)
        host = url.raw_host.decode("ascii").lower().removesuffix(".")
        port = _port(url)
        if port not in self.ports:
            allowed = ", ".join(map(str, sorted(self.ports)))
            raise _forbidden(f"port {port} is not called, only {allowed}")
        literal = _literal(host)
        if literal is None:
            _check_name(host)
        elif not self.admits(literal):
            raise _forbidden("it does not lead to a public address")
        return url.copy_with(host=host, fragment=None)

    async def find(self, url: httpx.URL) -> list[Address]:
        """Give the addresses of a checked URL's host; all of them may be called.

        Raises:
            ForbiddenAddressError: when one of them may not.
            UnreachableError: when there are none.
        """
        port = _port(url)
        host = url.raw_host.decode("ascii")
        literal = _literal(host)
        found = [literal] if literal is not None else await self._resolved(host, port)
        if not all(self.admits(address) for address in found):
            raise _forbidden("it does not lead to a public address")
        return found

    def admits(self, address: Address) -> bool:
        """Tell whether an address may be called."""
        return is_public(address) or any(
            address.version == network.version and address in network for network in self.also_allowed
        )

    async def _resolved(self, host: str, port: int) -> list[Address]:
        try:
            async with asyncio.timeout(self.timeout):
                found = [ip_address(text) for text in await self.resolver(host, port)]
        except TimeoutError as error:
            raise UnreachableError(f"{host} was not found within {self.timeout:g} s. Try again.") from error
        except (OSError, ValueError) as error:  # UnicodeError, for labels that are too long, is a ValueError
            raise UnreachableError(f"{host} was not found. Check the address.") from error
        if not found:
            raise UnreachableError(f"{host} has no address. Check it.")
        return found


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to a machine that anybody on the internet may call.

    An IPv6 address that stands for an IPv4 address is judged by that one.
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
        raise _forbidden(f"it is longer than {_MAXIMUM_URL} characters or has some that no address has")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _forbidden("it cannot be read") from error
    if url.scheme not in _DEFAULT_PORTS or not url.raw_host:
        raise _forbidden("it must begin with http:// or https:// and a host")
    if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]:
        raise _forbidden("it has a user name or a password")
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
        raise _forbidden("its host is no name")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise _forbidden("its host is a number in an unusual spelling; write 192.0.2.1 in this form")


def _forbidden(why: str) -> ForbiddenAddressError:
    return ForbiddenAddressError(f"This address is not called: {why}. Give a public http or https address.")
