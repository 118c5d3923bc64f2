"""Hosts and networks inside the operator's own network that callers may name in URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_TEXT = re.compile(r"(\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^\s:\[\]]+))(:(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
# Where clouds answer machines with credentials, beside the link-local addresses that most of them use.
_METADATA = tuple(map(ip_network, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")))


@dataclass(frozen=True)
class InnerTarget:
    """A host or a network that may be reached although it is not public.

    Attributes:
        host: name in lower case, ``*.`` and a domain for all names below it, or a network.
        port: the port that may be reached, or None for those of public addresses.
    """

    host: str | Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> InnerTarget:
        """Parse ``hooks.internal``, ``*.internal``, ``10.1.0.0/16``, each followed by ``:8080`` if wanted.

        IPv6 addresses and networks stand in brackets if a port follows.

        Raises:
            ValueError: if the text is none of these.
        """
        match = _TEXT.fullmatch(text)
        host, port = (match["bracketed"] or match["plain"], match["port"]) if match else (text, None)
        if port is None or 0 < int(port) < 65536:
            try:
                return cls(ip_network(host, strict=False), int(port) if port else None)
            except ValueError:
                if _NAME.fullmatch(host.lower()) and not host.rpartition(".")[2].isdecimal():
                    return cls(host.lower(), int(port) if port else None)
        raise ValueError(
            "Write hosts and networks as in hooks.internal,*.svc.cluster.local,10.20.0.0/16, each followed "
            "by its port, as in :8080, unless that is 80 or 443."
        )

    def admits(self, host: str, address: Address) -> bool:
        """Return whether a host may be reached at one of its addresses.

        A name never leads to the addresses where clouds hand out credentials; only a network can allow them.
        """
        if isinstance(self.host, str):
            return self.may_name(host) and not _is_metadata(address)
        return address.version == self.host.version and address in self.host

    def may_name(self, host: str) -> bool:
        """Return whether a host, not yet resolved, may be in this target."""
        if not isinstance(self.host, str):
            return True
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host


def _is_metadata(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    special = address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved
    return special or any(address.version == net.version and address in net for net in _METADATA)
