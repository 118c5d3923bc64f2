"""Who is calling, and what the caller may do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from spleeter_microservice.errors import ConfigurationError

DEFAULT_TENANT = "default"
"""Tenant of the keys of the configuration."""

# No slash, no space, no leading dot: a tenant may become part of a path or of a log line. A colon or a
# percent sign marks tenants that only tokens can name (see ``tokens``).
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@|+-]{0,127}", re.ASCII)


class Scope(StrEnum):
    """What a caller may do; no scope includes another."""

    SEPARATE = "separate"
    """Submit, cancel and erase separations."""

    READ = "read"
    """Read separations and download their results."""


@dataclass(frozen=True)
class Principal:
    """An authenticated caller.

    Attributes:
        tenant: owner of the separations that the caller sees.
        scopes: what the caller may do.
        key_id: name of the credentials in logs: an API key's id, or ``token:`` and the subject of a bearer
            token.
    """

    tenant: str
    scopes: frozenset[Scope]
    key_id: str


def is_tenant(name: str) -> bool:
    """Return whether a name is a valid tenant."""
    return _TENANT.fullmatch(name) is not None


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes with these names.

    Raises:
        ConfigurationError: if no name is given, or one is unknown.
    """
    wanted = set(names)
    known = {str(scope) for scope in Scope}
    if not wanted or wanted - known:
        named = ", ".join(sorted(wanted - known)) or "none"
        raise ConfigurationError(f"Unknown scopes: {named}. Choose from {', '.join(sorted(known))}.")
    return frozenset(Scope(name) for name in wanted)
