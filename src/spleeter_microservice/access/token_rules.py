"""Rules for bearer tokens: which are accepted, and what they allow."""

from __future__ import annotations

from dataclasses import dataclass

from spleeter_microservice.access.principal import Scope, parse_scopes
from spleeter_microservice.errors import ConfigurationError

_UNSAFE_CLAIMS = {
    *("name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile"),
    *("picture", "website", "gender", "birthdate", "zoneinfo", "locale", "phone_number", "address", "upn"),
    *("unique_name", "nonce", "jti", "scope", "scp", "aud"),
}
"""Claims that users edit or that whoever requests a token chooses (OpenID Connect Core, section 5.7)."""


@dataclass(frozen=True)
class Grant:
    """Scopes of every token that has certain claims, for issuers whose tokens have no scopes.

    Attributes:
        scopes: the scopes.
        claims: names and values of the claims; a token must have all of them.
    """

    scopes: frozenset[Scope]
    claims: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TokenRules:
    """Which tokens are accepted, and what they allow.

    Attributes:
        issuers: values of ``iss`` that are accepted; all of them use the same keys.
        audiences: values of which ``aud`` must equal or contain one.
        tenant_claim: claim that names the tenant. With ``sub``, each user is a separate tenant, called
            ``sub:`` and the subject, so that no user name can equal an API key's tenant. With several
            issuers, the tenants of each are separate.
        scope_prefix: what the issuer puts before this service's scopes, such as ``spleeter:``.
        grants: scopes of tokens by their claims, in addition to those that tokens name.
    """

    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    tenant_claim: str = "sub"
    scope_prefix: str = ""
    grants: tuple[Grant, ...] = ()


def parse_grant(text: str) -> Grant:
    """Parse a rule such as ``separate read if repository=ann/songs ref=refs/heads/main``.

    Raises:
        ValueError: if the rule is malformed; the message does not repeat it.
    """
    scopes, _, conditions = f" {text} ".partition(" if ")
    claims = [condition.partition("=") for condition in conditions.split()]
    try:
        granted = parse_scopes(scopes.split())
    except ConfigurationError:
        granted = frozenset()
    if not granted or not claims or not all(map(all, claims)):
        raise ValueError("Write each rule as: separate read if CLAIM=VALUE CLAIM=VALUE")
    return Grant(granted, tuple((claim, value) for claim, _, value in claims))


def parse_tenant_claim(text: str) -> str:
    """Parse the name of a claim that only the issuer can choose.

    Raises:
        ValueError: if callers could choose the claim.
    """
    if text in _UNSAFE_CLAIMS:
        raise ValueError(
            "Users could choose another's tenant with it. Set it to a claim such as sub or org_id."
        )
    return text
