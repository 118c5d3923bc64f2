"""Who is calling, and what the caller may do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from spleeter_microservice.errors import ConfigurationError, MissingScopeError

DEFAULT_TENANT = "default"
"""Tenant of the keys that the configuration names."""

# No slash, no space, no leading dot: a tenant may become part of a path or of a log line. The
# colon is left to callers without an organisation (see ``tokens``).
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@|+-]{0,127}", re.ASCII)


class Scope(StrEnum):
    """A right; none includes another."""

    SEPARATE = "separate"
    """Submit, cancel and erase separations."""

    READ = "read"
    """See separations and download their results."""


@dataclass(frozen=True)
class Principal:
    """A caller whose credentials checked out.

    Attributes:
        tenant: whose separations the caller sees.
        scopes: what the caller may do.
        key_id: what the credentials are called in logs: an API key's id, or ``token:`` and the
            subject of a bearer token.
    """

    tenant: str
    scopes: frozenset[Scope]
    key_id: str

    def require(self, scope: Scope) -> None:
        """Go on only if the caller has a right.

        Raises:
            MissingScopeError: naming it.
        """
        if scope not in self.scopes:
            raise MissingScopeError(
                f"These credentials lack the scope '{scope}'. Use a key or a token that has it.", scope
            )


def is_tenant(name: str) -> bool:
    """Tell whether a name can be a tenant's."""
    return _TENANT.fullmatch(name) is not None


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Give the scopes with these names.

    Raises:
        ConfigurationError: when there are none, or one is unknown.
    """
    wanted = set(names)
    known = {str(scope) for scope in Scope}
    if not wanted or wanted - known:
        named = ", ".join(sorted(wanted - known)) or "none"
        raise ConfigurationError(f"Unknown scopes: {named}. There are {', '.join(sorted(known))}.")
    return frozenset(Scope(name) for name in wanted)
